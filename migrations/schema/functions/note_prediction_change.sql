create or replace function annotator.note_prediction_change() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- History is not in the queue: when it is deleted, no place changes.
    if tg_op in ('INSERT', 'UPDATE') then
        insert into annotator.queue_change (dataset_id, field)
        select distinct a.dataset_id, a.field from after_change a where a.is_current;
    end if;
    if tg_op in ('DELETE', 'UPDATE') then
        insert into annotator.queue_change (dataset_id, field)
        select distinct b.dataset_id, b.field from before_change b where b.is_current;
    end if;
    return null;
end $$;
