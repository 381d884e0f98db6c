create or replace function annotator.lock_group(dataset_id text, field text) returns boolean
language sql volatile
begin atomic
    -- Does not wait: without the lock, the group is left to its holder or to the next caller.
    -- So are a few others, because groups share 1024 locks.
    select exists (
        select from annotator.lock l
        where l.name = 'queue group ' || (
            hashtextextended(lock_group.field || ' ' || lock_group.dataset_id, 0) & 1023
        )
        for update skip locked
    );
end;
