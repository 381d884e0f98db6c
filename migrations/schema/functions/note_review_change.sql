create or replace function annotator.note_review_change() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op in ('INSERT', 'UPDATE') then
        insert into annotator.queue_change (dataset_id, field)
        select distinct same.dataset_id, same.field
        from after_change a
        join annotator.prediction same on same.sample_id = a.sample_id and same.field = a.field;
    end if;
    if tg_op in ('DELETE', 'UPDATE') then
        insert into annotator.queue_change (dataset_id, field)
        select distinct same.dataset_id, same.field
        from before_change b
        join annotator.prediction same on same.sample_id = b.sample_id and same.field = b.field;
    end if;
    return null;
end $$;
