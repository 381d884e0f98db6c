create or replace function annotator.refuse_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'a row of %.% that is % cannot be changed in this way',
        tg_table_schema, tg_table_name, old.status
        using errcode = 'insufficient_privilege';
end $$;
