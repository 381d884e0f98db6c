create or replace function annotator.refuse_on_replica() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if pg_is_in_recovery() then
        raise exception 'this database is a read-only replica: record decisions on the primary'
            using errcode = 'read_only_sql_transaction';
    end if;
end $$;
