create or replace function annotator.correct_suggestion(prediction_id bigint, value text, note text default null)
returns setof annotator.review
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    target annotator.prediction := annotator.open_prediction(correct_suggestion.prediction_id);
    nearest text;
    classes text[];
    given double precision;
    holding text;
    known text;
begin
    if correct_suggestion.value is null then
        raise exception 'a correction needs a value' using errcode = 'null_value_not_allowed';
    end if;
    select r.classes into classes
    from annotator.release r where r.release_id = target.release_id;
    if annotator.in_interval(classes[1], 0) is not null
       and btrim(correct_suggestion.value) ~ '^[+-]?([0-9]{1,15}\.?[0-9]{0,15}|\.[0-9]{1,15})$' then
        given := btrim(correct_suggestion.value)::float8;
        select c.name into holding
        from unnest(classes) as c (name) where annotator.in_interval(c.name, given);
        if holding is null then
            raise exception 'no % interval of release % includes %; its intervals: %',
                target.field, target.release_id, given, array_to_string(classes, ', ')
                using errcode = 'invalid_parameter_value';
        end if;
        return query select * from annotator.decide(
            target.prediction_id, 'corrected', holding, correct_suggestion.note, given);
        return;
    end if;
    -- The spelling of the classes, of the term that is meant, or of the vocabulary.
    if correct_suggestion.value = any (classes) then
        known := correct_suggestion.value;
    elsif annotator.is_ontology_field(target.field) then
        select coalesce(t.name, t.term_id) into known
        from atlas.term t where t.term_id = annotator.find_term(correct_suggestion.value);
    end if;
    if known is null then
        select d.value into known
        from annotator.declared_word d
        where d.field = target.field
          and annotator.label_key(d.word) = annotator.label_key(correct_suggestion.value);
    end if;
    if known is null then
        select v.value into known
        from annotator.vocabulary(target.field) v
        where annotator.label_key(v.value) = annotator.label_key(correct_suggestion.value);
    end if;
    if known is null then
        select string_agg(quote_literal(close.value), ', ') into nearest
        from (
            select v.value from annotator.vocabulary(target.field) v
            order by
                annotator.shared_trigrams(lower(v.value), lower(left(correct_suggestion.value, 200))) desc,
                v.value
            limit 3
        ) close;
        raise exception '% is not a known % value; nearest: %',
            quote_literal(left(correct_suggestion.value, 200)), target.field,
            coalesce(nearest, 'none')
            using errcode = 'invalid_parameter_value';
    end if;
    return query select * from annotator.decide(
        target.prediction_id, 'corrected', known, correct_suggestion.note);
end $$;
comment on function annotator.correct_suggestion(bigint, text, text) is
    'Correct a suggestion with a value of the field, or with an id, a synonym or another spelling of it, and store the value. If the classes are intervals, a number can be given, too: it is stored, with the interval that includes it as the value.';
