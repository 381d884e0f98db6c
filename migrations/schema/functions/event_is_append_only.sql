create or replace function annotator.event_is_append_only() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'annotator.event is append-only' using errcode = 'insufficient_privilege';
end $$;
