create or replace function annotator.analyze_work() returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    analyze (skip_locked) annotator.work
$$;
comment on function annotator.analyze_work() is
    'Bring the statistics of the queue up to date after many samples were queued: with those of an empty queue, each claim and each write could read all of it.';
