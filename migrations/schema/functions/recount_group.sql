create or replace function annotator.recount_group(dataset_id text, field text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- At other isolation levels it would count a past state.
    if current_setting('transaction_isolation') = 'read committed'
       and annotator.lock_group(recount_group.dataset_id, recount_group.field) then
        perform annotator.count_groups(
            array[recount_group.dataset_id], array[recount_group.field]);
    end if;
end $$;
