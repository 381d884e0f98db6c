create or replace function annotator.watch_mirror() returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    seen integer := 0;
    more integer;
    moved_samples text[];
    moved_fields text[];
    moved_datasets text[];
    other_samples text[];
    other_fields text[];
begin
    -- One daemon at a time; the others need not wait for it.
    perform from annotator.lock where name = 'watch_mirror' for update skip locked;
    if not found then
        return 0;
    end if;
    -- Hardly any prediction is among them, so all are compared first, with nothing but an index
    -- of them (one_current_prediction), and those found are looked at again when they are locked.
    select
        array_agg(odd.sample_id) filter (where odd.is_elsewhere),
        array_agg(odd.field) filter (where odd.is_elsewhere),
        array_agg(odd.dataset_id) filter (where odd.is_elsewhere),
        array_agg(odd.sample_id) filter (where odd.is_other),
        array_agg(odd.field) filter (where odd.is_other)
    into moved_samples, moved_fields, moved_datasets, other_samples, other_fields
    from (
        select
            p.sample_id, p.field, s.dataset_id::text as dataset_id,
            p.dataset_id <> s.dataset_id and s.dataset_id <> ''
                -- as in annotator/domain/values/lengths.py
                and octet_length(s.dataset_id::text) <= 1000 as is_elsewhere,
            s.organism <> p.organism as is_other
        from (
            select current.sample_id, current.field, current.dataset_id, r.organism
            from annotator.prediction current
            join annotator.release r using (release_id)
            where current.is_current
            offset 0  -- else samples may be joined with releases first
        ) p
        join annotator.sample_organism s on s.sample_id = p.sample_id
    ) odd
    where odd.is_elsewhere or odd.is_other;
    with moved as (
        select p.prediction_id, p.sample_id, elsewhere.dataset_id
        from unnest(moved_samples, moved_fields, moved_datasets)
            as elsewhere (sample_id, field, dataset_id)
        join annotator.prediction p using (sample_id, field)
        where p.is_current and p.dataset_id <> elsewhere.dataset_id
          -- Behind views a sample may be in two datasets; it does not move between them.
          and (
              select true from atlas.sample same
              where same.sample_id = p.sample_id and same.dataset_id = p.dataset_id
              limit 1
          ) is null
        for update of p skip locked
    ), noted as (
        insert into annotator.mirror_change (sample_id, what, value)
        select distinct on (moved.sample_id) moved.sample_id, 'dataset', moved.dataset_id
        from moved order by moved.sample_id, moved.dataset_id
    )
    update annotator.prediction p set dataset_id = moved.dataset_id
    from moved where p.prediction_id = moved.prediction_id;
    get diagnostics seen = row_count;
    -- Predictions for samples that turned out to be of another organism are no longer current.
    with strange as (
        select p.prediction_id
        from unnest(other_samples, other_fields) as other (sample_id, field)
        join annotator.prediction p using (sample_id, field)
        where p.is_current
        for update of p skip locked
    )
    update annotator.prediction p set is_current = false
    from strange where p.prediction_id = strange.prediction_id;
    get diagnostics more = row_count;
    seen := seen + more;
    -- A full join is never a loop within a loop, even where statistics are older than the first
    -- labels, of which there may be a million.
    insert into annotator.mirror_change (sample_id, what, field, value, source)
    select coalesce(l.sample_id, last.sample_id), 'label', coalesce(l.field, last.field), l.value, l.source
    from (
        select distinct on (k.sample_id, k.field)
            k.sample_id::text as sample_id, k.field::text as field, k.value, k.source::text as source
        from annotator.known_label k
        order by k.sample_id, k.field, k.value
    ) l
    full join (
        select distinct on (c.sample_id, c.field) c.sample_id, c.field, c.value
        from annotator.mirror_change c
        where c.what = 'label'
        order by c.sample_id, c.field, c.change_id desc
    ) last on last.sample_id = l.sample_id and last.field = l.field
    where l.value is distinct from last.value and (
        l.sample_id is null or exists (
            select from annotator.prediction p where p.sample_id = l.sample_id and p.field = l.field
        )
    )
    order by 1, 3;
    get diagnostics more = row_count;
    return seen + more;
end $$;
comment on function annotator.watch_mirror() is
    'Record the changes in the mirror since the last call, and return their number.';
