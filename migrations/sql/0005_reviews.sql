-- Corrections by a number: it is kept beside the interval that includes it.

alter table annotator.review
    add column number double precision
        constraint only_corrections_have_a_number check (number is null or decision = 'corrected');
comment on column annotator.review.number is
    'The number that the reviewer gave (age in years); value is the interval that includes it. Null where a value was given.';
alter table annotator.undone_review add column number double precision;

-- Dropped first: it was bound to the columns that a review had.
drop function annotator.reject_suggestion(bigint, text);
drop function annotator.decide(bigint, annotator.review_decision, text, text);
create function annotator.decide(
    prediction_id bigint, decision annotator.review_decision, value text, note text,
    number double precision default null
)
returns setof annotator.review
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    target annotator.prediction := annotator.open_prediction(decide.prediction_id);
    standing annotator.review;
begin
    select r.* into standing from annotator.review r
    where r.prediction_id = target.prediction_id;
    if found then
        if standing.decision = decide.decision
           and standing.value is not distinct from decide.value
           and standing.number is not distinct from decide.number then
            return next standing;  -- decided before: nothing changes
            return;
        end if;
        raise exception 'prediction % was already % by % at %', target.prediction_id,
            standing.decision, standing.reviewer, standing.reviewed_at
            using errcode = 'object_not_in_prerequisite_state',
                hint = format('To take that back: select * from annotator.undo_review(%s, ''why'');',
                              standing.review_id);
    end if;
    insert into annotator.review (prediction_id, decision, value, note, number)
    values (target.prediction_id, decide.decision, decide.value, decide.note, decide.number)
    returning * into standing;
    insert into annotator.event (kind, subject, detail)
    values (
        'review', target.sample_id,
        jsonb_build_object(
            'review_id', standing.review_id, 'prediction_id', target.prediction_id,
            'field', target.field, 'decision', standing.decision, 'value', standing.value,
            'number', standing.number, 'note', standing.note
        )
    );
    perform annotator.recount_group(target.dataset_id, target.field);
    return next standing;
end $$;

create function annotator.reject_suggestion(prediction_id bigint, note text default null)
returns setof annotator.review
language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
    select * from annotator.decide(
        reject_suggestion.prediction_id, 'rejected', null, reject_suggestion.note);
end;

create or replace function annotator.correct_suggestion(prediction_id bigint, value text, note text default null)
returns setof annotator.review
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    target annotator.prediction := annotator.open_prediction(correct_suggestion.prediction_id);
    nearest text;
    classes text[];
    given double precision;
    holding text;
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
    if not exists (
        select from annotator.vocabulary(target.field) v
        where v.value = correct_suggestion.value
    ) then
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
        target.prediction_id, 'corrected', correct_suggestion.value, correct_suggestion.note);
end $$;
comment on function annotator.correct_suggestion(bigint, text, text) is
    'Correct a suggestion by a value that the field has. Where the classes are intervals, also by a number: it is kept, with the interval that includes it as the value.';

create or replace function annotator.undo_review(review_id bigint, note text default null)
returns setof annotator.undone_review
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    standing annotator.review;
    target annotator.prediction;
begin
    select p.* into target
    from annotator.review r join annotator.prediction p using (prediction_id)
    where r.review_id = undo_review.review_id
    for update of p;
    if found then
        delete from annotator.review r where r.review_id = undo_review.review_id
        returning r.* into standing;
    end if;
    if standing.review_id is not null then
        insert into annotator.undone_review (
            review_id, prediction_id, decision, value, note, reviewer, reviewed_at, undo_note,
            number
        )
        values (
            standing.review_id, standing.prediction_id, standing.decision, standing.value,
            standing.note, standing.reviewer, standing.reviewed_at, undo_review.note,
            standing.number
        );
        insert into annotator.event (kind, subject, detail)
        values (
            'review undone', target.sample_id,
            jsonb_build_object(
                'review_id', standing.review_id, 'prediction_id', standing.prediction_id,
                'field', target.field, 'decision', standing.decision, 'value', standing.value,
                'number', standing.number, 'reviewer', standing.reviewer,
                'note', undo_review.note
            )
        );
        perform annotator.recount_group(target.dataset_id, target.field);
    elsif not exists (
        select from annotator.undone_review u where u.review_id = undo_review.review_id
    ) then
        raise exception 'there is no review %', undo_review.review_id
            using errcode = 'no_data_found';
    end if;
    return query select u.* from annotator.undone_review u
        where u.review_id = undo_review.review_id;
end $$;
