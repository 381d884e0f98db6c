create or replace function annotator.queue_figure(dataset_id text, field text)
returns setof annotator.queue_group
-- Planning takes longer than computing the place of most datasets.
language plpgsql stable rows 1
set plan_cache_mode = force_generic_plan set search_path = pg_catalog, pg_temp as $$
begin
    return query
    -- One row per value, so that counts of hundreds of samples are summed from few rows.
    with named as materialized (
        select
            m.best_value,
            m.lineage,
            count(*) filter (where m.is_named) as named,
            sum(m.confidence) filter (where m.is_named) as confidence,
            bool_or(m.is_decided or m.is_open) as counts,
            bool_or(m.has_reviews) as has_reviews,
            count(*) filter (where m.is_open) as open,
            min(m.value) filter (where m.is_open) as first_value,
            max(m.value) filter (where m.is_open) as last_value,
            min(m.confidence) filter (where m.is_open) as lowest,
            sum(m.informativeness) filter (where m.is_open) as informativeness,
            bool_and(m.status = 'suggested' and m.confidence >= 0.8)
                filter (where m.is_open) as confident
        from (
            select
                m.best_value, m.lineage, m.value, m.confidence, m.informativeness, m.status,
                m.is_decided, m.has_reviews, not m.is_rejected as is_named,
                m.is_unanswered and not m.is_rejected as is_open
            from annotator.queue_member m
            where m.dataset_id = queue_figure.dataset_id and m.field = queue_figure.field
            offset 0  -- so that each sample is computed once
        ) m
        group by m.best_value, m.lineage
    ), prevailing as (
        select
            most.best_value,
            (select n.lineage from named n
             where n.best_value = most.best_value and n.named > 0
             order by cardinality(n.lineage) desc limit 1) as lineage
        from (
            select n.best_value
            from named n
            where n.best_value is not null and n.named > 0
            group by n.best_value
            order by sum(n.named) desc, sum(n.confidence) desc nulls last, n.best_value
            limit 1
        ) most
    ), whole as (
        select
            coalesce(sum(n.open), 0)::bigint as open,
            min(n.first_value) = max(n.last_value) as agrees,
            min(n.lowest) as lowest,
            sum(n.informativeness) / sum(n.open)::double precision as informativeness,
            bool_and(n.confident)
                and min(n.best_value) filter (where n.counts)
                    = max(n.best_value) filter (where n.counts) as of_one_value,
            coalesce(bool_or(n.has_reviews), false) as has_reviews
        from named n
    ), summary as (
        select
            w.*,
            w.of_one_value is true and not exists (
                select
                from (
                    select p.prediction_id
                    from annotator.prediction p
                    join annotator.learned_sample l using (release_id, sample_id)
                    where p.dataset_id = queue_figure.dataset_id and p.field = queue_figure.field
                      and p.is_current
                    offset 0  -- these first: there are hardly ever any
                ) learned
                join annotator.queue_member m using (prediction_id)
                where m.is_unanswered and not m.is_rejected
            ) as one_click
        from whole w
    )
    select
        queue_figure.dataset_id,
        queue_figure.field,
        case when f.one_click then 0 else 1 end::smallint,
        coalesce(case when f.one_click then f.open * f.lowest else f.informativeness end, 0),
        f.open,
        f.agrees,
        f.lowest,
        l.best_value,
        l.lineage,
        f.has_reviews,
        clock_timestamp()
    from summary f
    left join prevailing l on true;
end $$;
comment on function annotator.queue_figure(text, text) is
    'The present place of a dataset and field in review_queue.';
