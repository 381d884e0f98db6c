create or replace function annotator.count_groups(datasets text[], fields text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- The caller must hold the lock of each group: see lock_group.
    delete from annotator.queue_change c
    using unnest(count_groups.datasets, count_groups.fields) as given (dataset_id, field)
    where c.dataset_id = given.dataset_id and c.field = given.field;
    insert into annotator.queue_group
    select f.*
    from unnest(count_groups.datasets, count_groups.fields) as given (dataset_id, field)
    cross join lateral annotator.queue_figure(given.dataset_id, given.field) f
    on conflict (dataset_id, field) do update set
        section = excluded.section, worth = excluded.worth, open = excluded.open,
        agrees = excluded.agrees, lowest_confidence = excluded.lowest_confidence,
        best_value = excluded.best_value, lineage = excluded.lineage,
        has_reviews = excluded.has_reviews, counted_at = excluded.counted_at;
    -- Groups that only labels of the mirror have settled are kept: it may remove its labels.
    delete from annotator.queue_group g
    using unnest(count_groups.datasets, count_groups.fields) as given (dataset_id, field)
    where g.dataset_id = given.dataset_id and g.field = given.field
      and g.open = 0
      and not exists (
          select from annotator.prediction p
          where p.dataset_id = g.dataset_id and p.field = g.field and p.is_current
            and not exists (
                select from annotator.review r where r.prediction_id = p.prediction_id
            )
      );
end $$;
