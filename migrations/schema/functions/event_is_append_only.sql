create or replace function annotator.event_is_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'annotator.event is append-only' using errcode = 'insufficient_privilege';
end $$;
