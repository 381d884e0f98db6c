with live as (
    select
        r.release_id, r.field, r.organism, t.cohort_id,
        extract(epoch from clock_timestamp() - r.promoted_at)::float8 as age,
        (select m.value from annotator.metric m
         where m.run_id = r.run_id and m.model_kind = 'combined' and m.name = 'accuracy'
           and m.class = ''
         order by m.scheme = 'cv'  -- held-out datasets first
         limit 1) as accuracy
    from annotator.release r
    join annotator.training_run t using (run_id)
    where r.status = 'live'
), retraining as (
    select t.field, t.organism,
        count(*) filter (where r.promoted_at is not null) as promoted,
        count(*) filter (where t.status = 'succeeded' and r.promoted_at is null) as rejected,
        count(*) filter (where t.status = 'skipped') as skipped,
        count(*) filter (where t.status = 'failed') as failed,
        count(*) filter (where t.status = 'interrupted') as interrupted,
        extract(epoch from clock_timestamp() - max(t.finished_at) filter (
            where t.status in ('succeeded', 'skipped')
        ))::float8 as seconds_ago
    from annotator.training_run t
    left join annotator.release r using (run_id)
    group by t.field, t.organism
), named as (
    -- As in field_states.sql.
    select f.field, f.place, coalesce(n.organism, %(organism)s) as organism
    from unnest(%(fields)s::text[]) with ordinality as f (field, place)
    left join retraining n using (field)
), recent as (
    select live.release_id, newest.novelty, newest.class
    from live
    cross join lateral (
        select p.novelty, p.models -> 'combined' ->> 'value' as class
        from annotator.prediction p
        where p.release_id = live.release_id and p.is_current
          and coalesce(p.sample_updated_at, p.created_at)
              > statement_timestamp() - make_interval(days => %(days)s)
        order by coalesce(p.sample_updated_at, p.created_at) desc
        limit %(most)s
    ) newest
), counted as (
    select release_id, count(*) as samples, count(novelty) as measured
    from recent
    group by release_id
), placed as (
    select release_id, novelty,
        (row_number() over (partition by release_id order by novelty) - 1)::float8
            / count(*) over (partition by release_id) as share_below
    from recent
    where novelty is not null
), novelty as (
    select release_id, greatest(0, max(novelty - share_below)) as drift
    from placed
    group by release_id
), predicted as (
    select release_id, class, count(*) / sum(count(*)) over (partition by release_id) as share
    from recent
    group by release_id, class
), learned as (
    select live.release_id, c.class,
        count(*) / sum(count(*)) over (partition by live.release_id) as share
    from live
    join annotator.cohort_sample c using (cohort_id)
    where c.class is not null
    group by live.release_id, c.class
), label as (
    select release_id,
        (sum(abs(coalesce(predicted.share, 0) - coalesce(learned.share, 0))) / 2)::float8 as drift
    from predicted full join learned using (release_id, class)
    group by release_id
)
select
    named.field,
    coalesce(samples.suggested, 0), coalesce(samples.abstained, 0),
    coalesce(samples.quarantined, 0),
    live.release_id, live.age, live.accuracy,
    coalesce(retraining.promoted, 0), coalesce(retraining.rejected, 0),
    coalesce(retraining.skipped, 0), coalesce(retraining.failed, 0),
    coalesce(retraining.interrupted, 0), retraining.seconds_ago,
    coalesce(counted.samples, 0),
    case when counted.measured >= %(fewest)s then novelty.drift end,
    case when counted.samples >= %(fewest)s and live.cohort_id is not null then label.drift end,
    named.organism
from named
left join live using (field, organism)
left join annotator.field_samples samples using (field, organism)
left join retraining using (field, organism)
left join counted using (release_id)
left join novelty using (release_id)
left join label using (release_id)
order by named.place, named.organism <> %(organism)s, named.organism
