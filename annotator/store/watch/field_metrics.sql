with live as (
    select
        r.release_id, r.field, t.cohort_id,
        extract(epoch from clock_timestamp() - r.promoted_at)::float8 as age,
        (select m.value from annotator.metric m
         where m.run_id = r.run_id and m.model_kind = 'combined' and m.name = 'accuracy'
           and m.class = ''
         order by m.scheme = 'cv'  -- held-out datasets first
         limit 1) as accuracy
    from annotator.release r
    join annotator.training_run t using (run_id)
    where r.status = 'live'
), answer as (
    select p.field,
        count(*) filter (where p.status = 'suggested') as annotated,
        count(*) filter (where p.status = 'abstained') as abstained
    from annotator.prediction p
    where p.is_current
    group by p.field
), unusable as (
    -- Some problems can be solved without a change of updated_at.
    select q.field, q.sample_id
    from annotator.quarantine q
    join atlas.sample s
        on s.sample_id = q.sample_id and s.updated_at is not distinct from q.sample_updated_at
    left join live on live.field = q.field
    where q.release_id is null or q.release_id = live.release_id
    group by q.field, q.sample_id
    having count(*) filter (where q.code = 'repeated_sample') > 1 or bool_or(
        case q.code
            when 'repeated_sample' then false
            when 'no_dataset' then coalesce(s.dataset_id, '') = ''
            when 'contradicting_labels' then (
                select count(*) from annotator.known_label k
                where k.sample_id = q.sample_id and k.field = q.field
            ) > 1
            else true
        end
    )
), quarantined as (
    select unusable.field, count(*) as samples
    from unusable
    group by unusable.field
), retraining as (
    select t.field,
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
    group by t.field
), recent as (
    select live.field, newest.novelty, newest.class
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
    select field, count(*) as samples, count(novelty) as measured from recent group by field
), placed as (
    select field, novelty,
        (row_number() over (partition by field order by novelty) - 1)::float8
            / count(*) over (partition by field) as share_below
    from recent
    where novelty is not null
), novelty as (
    select field, greatest(0, max(novelty - share_below)) as drift from placed group by field
), predicted as (
    select field, class, count(*) / sum(count(*)) over (partition by field) as share
    from recent
    group by field, class
), learned as (
    select live.field, c.class, count(*) / sum(count(*)) over (partition by live.field) as share
    from live
    join annotator.cohort_sample c using (cohort_id)
    where c.class is not null
    group by live.field, c.class
), label as (
    select field, (sum(abs(coalesce(predicted.share, 0) - coalesce(learned.share, 0))) / 2)::float8
        as drift
    from predicted full join learned using (field, class)
    group by field
)
select
    named.field,
    coalesce(answer.annotated, 0), coalesce(answer.abstained, 0),
    coalesce(quarantined.samples, 0),
    live.release_id, live.age, live.accuracy,
    coalesce(retraining.promoted, 0), coalesce(retraining.rejected, 0),
    coalesce(retraining.skipped, 0), coalesce(retraining.failed, 0),
    coalesce(retraining.interrupted, 0), retraining.seconds_ago,
    coalesce(counted.samples, 0),
    case when counted.measured >= %(fewest)s then novelty.drift end,
    case when counted.samples >= %(fewest)s and live.cohort_id is not null then label.drift end
from unnest(%(fields)s::text[]) with ordinality as named (field, place)
left join live using (field)
left join answer using (field)
left join quarantined using (field)
left join retraining using (field)
left join counted using (field)
left join novelty using (field)
left join label using (field)
order by named.place
