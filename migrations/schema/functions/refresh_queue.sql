create or replace function annotator.refresh_queue(groups integer default 200) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    datasets text[];
    fields text[];
begin
    select array_agg(due.dataset_id), array_agg(due.field) into datasets, fields
    from (
        select distinct c.dataset_id, c.field from annotator.queue_change c
        order by 1, 2 limit refresh_queue.groups
    ) due
    where annotator.lock_group(due.dataset_id, due.field);
    if datasets is null then
        return 0;
    end if;
    perform annotator.count_groups(datasets, fields);
    return cardinality(datasets);
end $$;
comment on function annotator.refresh_queue(integer) is
    'Compute the places of at most so many changed pairs of dataset and field, and return how many were computed.';
