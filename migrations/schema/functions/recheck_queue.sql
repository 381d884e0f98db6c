create or replace function annotator.recheck_queue(groups integer default 200) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    datasets text[];
    fields text[];
begin
    select array_agg(due.dataset_id), array_agg(due.field) into datasets, fields
    from (
        select g.dataset_id, g.field from annotator.queue_group g
        where g.counted_at < clock_timestamp() - interval '10 minutes'
        order by g.counted_at limit recheck_queue.groups
    ) due
    where annotator.lock_group(due.dataset_id, due.field);
    if datasets is null then
        return 0;
    end if;
    perform annotator.count_groups(datasets, fields);
    return cardinality(datasets);
end $$;
comment on function annotator.recheck_queue(integer) is
    'Recompute the oldest places, because the mirror changes without notice.';
