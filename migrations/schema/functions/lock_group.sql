create or replace function annotator.lock_group(dataset_id text, field text) returns boolean
language sql volatile
begin atomic
    -- Nobody waits: who does not get it leaves the group to whoever has it or comes next.
    select pg_try_advisory_xact_lock(
        hashtextextended('annotator.queue.' || lock_group.field || ' ' || lock_group.dataset_id, 0));
end;
