create or replace function annotator.accept_dataset(
    dataset_id text, field text, min_confidence double precision default 0, note text default null
)
returns setof annotator.review
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    candidates bigint[];
    groups record;
begin
    perform annotator.refuse_on_replica();
    -- The dataset that a sample is in now, not the one it was in when it was predicted.
    select array_agg(p.prediction_id order by p.prediction_id) into candidates
    from atlas.sample s
    join annotator.prediction p on p.sample_id = s.sample_id
    where s.dataset_id = accept_dataset.dataset_id and p.field = accept_dataset.field
      and p.is_current;
    if candidates is null and not exists (
        select from annotator.prediction p
        where p.dataset_id = accept_dataset.dataset_id and p.field = accept_dataset.field
          and p.is_current
    ) then
        raise exception 'there is no prediction of % in dataset %',
            left(accept_dataset.field, 200), quote_literal(left(accept_dataset.dataset_id, 200))
            using errcode = 'no_data_found';
    end if;
    -- In the order in which daemons lock them. Decisions that others make in the meantime are
    -- then seen below and not repeated.
    perform from annotator.prediction p
    where p.prediction_id = any (candidates) order by p.prediction_id for update;
    return query
    with taken as (
        insert into annotator.review (prediction_id, decision, value, note)
        select m.prediction_id, 'accepted', m.value, annotator.usable_note(accept_dataset.note)
        from annotator.queue_member m
        where m.prediction_id = any (candidates)
          and m.is_unanswered and not m.is_rejected and m.status = 'suggested'
          and m.confidence >= coalesce(accept_dataset.min_confidence, 0)
        order by m.prediction_id
        returning *
    ), noted as (
        insert into annotator.event (kind, subject, detail)
        select
            'review', p.sample_id,
            jsonb_build_object(
                'review_id', t.review_id, 'prediction_id', t.prediction_id,
                'field', p.field, 'decision', t.decision, 'value', t.value, 'note', t.note
            )
        from taken t join annotator.prediction p using (prediction_id)
        order by t.review_id
    )
    select t.* from taken t order by t.prediction_id;
    for groups in
        select distinct p.dataset_id, p.field
        from annotator.prediction p where p.prediction_id = any (candidates)
    loop
        perform annotator.recount_group(groups.dataset_id, groups.field);
    end loop;
end $$;
