create or replace function annotator.lock_group(dataset_id text, field text) returns boolean
language sql volatile
begin atomic
    -- Does not wait: without the lock, the group is left to its holder or to the next caller.
    select pg_try_advisory_xact_lock(
        hashtextextended('annotator.queue.' || lock_group.field || ' ' || lock_group.dataset_id, 0));
end;
