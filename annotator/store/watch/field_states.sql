with live as (
    select r.release_id, r.field, r.organism, r.run_id, r.promoted_at, t.preset
    from annotator.release r
    join annotator.training_run t using (run_id)
    where r.status = 'live'
), newest_release as (
    select distinct on (r.field, r.organism) r.field, r.organism, r.release_id, r.status
    from annotator.release r
    where r.status <> 'candidate'
    order by r.field, r.organism, r.release_id desc
), newest_run as (
    select distinct on (t.field, t.organism)
        t.field, t.organism, t.status::text as status, t.reason, t.started_at
    from annotator.training_run t
    order by t.field, t.organism, t.run_id desc
), named as (
    -- A field has one row per organism that was ever learned from, else one of the default.
    select f.field, f.place, coalesce(n.organism, %(organism)s) as organism
    from unnest(%(fields)s::text[]) with ordinality as f (field, place)
    left join newest_run n using (field)
), queue as (
    select r.field, r.organism, count(*) as leased
    from annotator.work w
    join annotator.release r using (release_id)
    where w.leased_until > clock_timestamp()
    group by r.field, r.organism
)
select
    named.field, live.release_id, live.preset, live.promoted_at,
    (select m.value from annotator.metric m
     where m.run_id = live.run_id and m.model_kind = 'combined' and m.name = 'accuracy'
       and m.class = ''
     order by m.scheme = 'cv'  -- held-out datasets first
     limit 1),
    newest_run.status, newest_run.reason, newest_run.started_at,
    coalesce(queue.leased, 0),
    coalesce(samples.suggested, 0), coalesce(samples.abstained, 0),
    coalesce(samples.quarantined, 0),
    case when newest_release.status = 'rejected' and live.release_id is null
        then newest_release.release_id end,
    held_out.answered, held_out.precision, named.organism
from named
left join live using (field, organism)
left join newest_release using (field, organism)
left join newest_run using (field, organism)
left join queue using (field, organism)
left join annotator.field_samples samples using (field, organism)
left join lateral (
    select
        max(m.value) filter (where m.name = 'answered') as answered,
        max(m.value) filter (where m.name = 'precision') as precision
    from annotator.metric m
    where m.run_id = live.run_id and m.model_kind = 'combined' and m.class = ''
      and m.scheme = 'one-dataset-out'
) held_out on true
order by named.place, named.organism <> %(organism)s, named.organism
