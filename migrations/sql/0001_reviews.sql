-- What a curator can do. SECURITY DEFINER: curators have no rights on the tables.

create function annotator.vocabulary(field text) returns table (value text)
language sql stable
begin atomic
    select distinct known.value
    from (
        select unnest(r.classes) as value
        from annotator.release r
        where r.field = vocabulary.field and r.status = 'live'
        union all
        select btrim(a.value) from atlas.annotation a
        where a.field = vocabulary.field and btrim(a.value) <> ''
          and coalesce(a.numeric_value::float8, 'NaN') = 'NaN'
        union all
        select t.term_id from atlas.term t where vocabulary.field = 'tissue'
    ) known;
end;
comment on function annotator.vocabulary(text) is 'The values that a field may take.';

create function annotator.open_prediction(prediction_id bigint)
returns annotator.prediction
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    found_row annotator.prediction;
begin
    select p.* into found_row
    from annotator.prediction p
    where p.prediction_id = open_prediction.prediction_id
    for update;
    if not found then
        raise exception 'there is no prediction %', open_prediction.prediction_id
            using errcode = 'no_data_found';
    end if;
    -- As in annotator.suggestion. What was decided stays decided, and is said again by decide().
    if not found_row.is_current or not exists (
        select from atlas.sample s
        where s.sample_id = found_row.sample_id
          and extract(epoch from s.updated_at)
              is not distinct from extract(epoch from found_row.sample_updated_at)
        union all
        select from annotator.review r where r.prediction_id = found_row.prediction_id
    ) then
        raise exception 'prediction % is stale: the sample or the release has changed since; review the current one in annotator.suggestion', open_prediction.prediction_id
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    return found_row;
end $$;

create function annotator.decide(
    prediction_id bigint, decision annotator.review_decision, value text, note text
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
           and standing.value is not distinct from decide.value then
            return next standing;  -- said before: nothing changes
            return;
        end if;
        raise exception 'prediction % was already % by % at %', target.prediction_id,
            standing.decision, standing.reviewer, standing.reviewed_at
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    insert into annotator.review (prediction_id, decision, value, note)
    values (target.prediction_id, decide.decision, decide.value, decide.note)
    returning * into standing;
    insert into annotator.event (kind, subject, detail)
    values (
        'review', target.sample_id,
        jsonb_build_object(
            'review_id', standing.review_id, 'prediction_id', target.prediction_id,
            'field', target.field, 'decision', standing.decision, 'value', standing.value,
            'note', standing.note
        )
    );
    return next standing;
end $$;

create function annotator.accept_suggestion(prediction_id bigint, note text default null)
returns setof annotator.review
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    target annotator.prediction := annotator.open_prediction(accept_suggestion.prediction_id);
begin
    if target.status = 'abstained' then
        raise exception 'prediction % abstained (%): there is nothing to accept; use annotator.correct_suggestion',
            target.prediction_id, target.reason
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    return query select * from annotator.decide(
        target.prediction_id, 'accepted', target.value, accept_suggestion.note);
end $$;

create function annotator.reject_suggestion(prediction_id bigint, note text default null)
returns setof annotator.review
language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
    select * from annotator.decide(
        reject_suggestion.prediction_id, 'rejected', null, reject_suggestion.note);
end;

create function annotator.correct_suggestion(prediction_id bigint, value text, note text default null)
returns setof annotator.review
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    target annotator.prediction := annotator.open_prediction(correct_suggestion.prediction_id);
    nearest text;
begin
    if correct_suggestion.value is null then
        raise exception 'a correction needs a value' using errcode = 'null_value_not_allowed';
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

create function annotator.shared_trigrams(a text, b text) returns double precision
language sql immutable
begin atomic
    with
        of_a as (select distinct substr('  ' || a || ' ', i, 3) as gram
                 from generate_series(1, length(a) + 1) i),
        of_b as (select distinct substr('  ' || b || ' ', i, 3) as gram
                 from generate_series(1, length(b) + 1) i)
    select (select count(*) from of_a join of_b using (gram))::double precision
         / greatest(1, (select count(*) from (select gram from of_a union select gram from of_b) u));
end;

create function annotator.accept_dataset(
    dataset_id text, field text, min_confidence double precision default 0, note text default null
)
returns setof annotator.review
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    target record;
begin
    if not exists (
        select from annotator.suggestion s
        where s.dataset_id = accept_dataset.dataset_id and s.field = accept_dataset.field
    ) then
        raise exception 'there is no prediction of % in dataset %',
            accept_dataset.field, quote_literal(accept_dataset.dataset_id)
            using errcode = 'no_data_found';
    end if;
    for target in
        select q.prediction_id
        from annotator.review_queue q
        where q.dataset_id = accept_dataset.dataset_id
          and q.field = accept_dataset.field
          and q.status = 'suggested'
          and q.confidence >= coalesce(accept_dataset.min_confidence, 0)
        order by q.prediction_id
    loop
        return query select * from annotator.accept_suggestion(
            target.prediction_id, accept_dataset.note);
    end loop;
end $$;
