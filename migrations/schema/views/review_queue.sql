create or replace view annotator.review_queue as
with newest as (
    select distinct on (r.field, r.organism)
        r.release_id, r.field, r.organism, r.status, r.reasons, r.created_at
    from annotator.release r
    where r.status <> 'candidate'
    order by r.field, r.organism, r.release_id desc
), refused as (
    select
        n.release_id, n.field, n.organism, n.created_at,
        'no reliable model: ' || left(coalesce(
            -- The comparisons that failed; none if it was rejected for another reason.
            (select string_agg(
                format(
                    '%s %s, %s %s',
                    replace(c.name, '_', ' '), round(c.ours::numeric, 3),
                    case when c.chance > c.theirs then 'chance'
                        else replace(c.compared_with, '_', ' ') end,
                    round(greatest(c.theirs, c.chance)::numeric, 3)
                ),
                '; ' order by c.position)
             from annotator.release_comparison c
             where c.release_id = n.release_id and not c.passed),
            nullif(array_to_string(n.reasons, ' '), ''),
            'it was rejected'
        ), 500) as reason
    from newest n
    where n.status = 'rejected'
      and not exists (
          select from annotator.release live
          where live.field = n.field and live.organism = n.organism and live.status = 'live'
      )
), places as (
    -- To read in the order of the index and no further than needed, this has an ORDER BY,
    -- a subquery per row instead of a join, and the same types in every branch.
    (select
        g.section, g.worth, g.dataset_id, g.field, g.open, g.agrees, g.lowest_confidence,
        g.best_value, g.lineage, g.has_reviews,
        null::bigint as refused_id, null::text as refused_reason, null::timestamptz as refused_at,
        null::text as refused_organism
    from annotator.queue_group g
    where coalesce((
        select 1 from annotator.queue_change c
        where c.dataset_id = g.dataset_id and c.field = g.field
        limit 1
    ), 0) <> 1
    order by g.section, g.worth desc, g.dataset_id, g.field)
    union all
    select
        f.section, f.worth, c.dataset_id, c.field, f.open, f.agrees, f.lowest_confidence,
        f.best_value, f.lineage, f.has_reviews, null::bigint, null::text, null::timestamptz,
        null::text
    from (select distinct n.dataset_id, n.field from annotator.queue_change n) c
    cross join lateral annotator.queue_figure(c.dataset_id, c.field) f
    union all
    -- Samples of fields without a reliable model are open without a suggestion.
    select
        2::smallint, 0::double precision, d.dataset_id::text, r.field, null::bigint, null::boolean,
        null::double precision, null::text, null::text[], false,
        r.release_id, r.reason, r.created_at, r.organism
    from refused r
    cross join atlas.dataset d
)
select
    o.prediction_id,
    o.sample_id,
    -- Has the type of the column in suggestion, which need not be text if the atlas consists of
    -- views. The ELSE sets the type and is never evaluated.
    case when true then g.dataset_id else (null::annotator.suggestion).dataset_id end as dataset_id,
    g.field,
    o.value,
    o.lineage,
    o.confidence,
    o.status,
    coalesce(g.refused_reason, o.reason) as reason,
    o.top_features,
    o.models,
    o.novelty,
    coalesce(o.release_id, g.refused_id) as release_id,
    coalesce(o.created_at, g.refused_at) as created_at,
    coalesce(g.open, o.refused_open) as dataset_open,
    g.agrees as dataset_agrees,
    g.lowest_confidence as dataset_lowest_confidence,
    o.disagreement > 0 as models_disagree,
    o.prediction_set,
    o.set_coverage,
    o.known_features,
    o.number,
    o.number_low,
    o.number_high,
    o.disagreement,
    g.best_value as dataset_value,
    -- A broader or narrower term of the same lineage does not differ.
    coalesce(
        o.best_value <> g.best_value
            and g.best_value <> all (o.lineage) and o.best_value <> all (g.lineage),
        false
    ) as differs_from_dataset,
    g.section = 0 as one_click,
    o.informativeness,
    o.best_value,
    coalesce(
        g.refused_organism,
        (select made.organism from annotator.release made where made.release_id = o.release_id)
    ) as organism
from (
    -- Sorted here, so that rows are looked up for no more datasets than needed.
    select * from places order by section, worth desc, dataset_id, field
) g
cross join lateral (
    select
        p.prediction_id, p.sample_id, p.value, p.lineage, p.confidence, p.status::text as status,
        p.reason, p.top_features, p.models, p.novelty, p.release_id, p.created_at,
        p.prediction_set, p.set_coverage, p.known_features, p.number, p.number_low, p.number_high,
        p.best_value, p.disagreement, p.informativeness, null::bigint as refused_open
    from annotator.prediction p
    -- As in annotator.queue_member.
    left join lateral (
        select same.updated_at, true as found
        from atlas.sample same where same.sample_id = p.sample_id
        limit 1
    ) s on true
    left join lateral (
        select true as found
        from annotator.known_label k
        where k.sample_id = p.sample_id and k.field = p.field
        limit 1
    ) label on true
    left join lateral (
        select bool_or(
            given.prediction_id = p.prediction_id
            or given.decision in ('accepted', 'corrected')
            or (select old.value from annotator.prediction old
                where old.prediction_id = given.prediction_id) = p.value
        ) as answered
        from annotator.review given
        where g.has_reviews and given.sample_id = p.sample_id and given.field = p.field
    ) decided on true
    where g.section < 2 and p.dataset_id = g.dataset_id and p.field = g.field and p.is_current
      and s.found
      and extract(epoch from p.sample_updated_at)
          is not distinct from extract(epoch from s.updated_at)
      and label.found is null
      and decided.answered is not true
    union all
    select
        null, s.sample_id::text, null, '{}', null, 'abstained', null, '{}', '{}', null, null, null,
        '{}', null, null, null, null, null, null, 0, null, count(*) over ()
    from annotator.sample_organism s
    where g.section = 2 and s.dataset_id = g.dataset_id and s.organism = g.refused_organism
      and not exists (
          select from annotator.prediction p
          where p.sample_id = s.sample_id and p.field = g.field and p.is_current
      ) and not exists (
          select from annotator.known_label k
          where k.sample_id = s.sample_id and k.field = g.field
      ) and not exists (
          select from annotator.review decided
          where decided.sample_id = s.sample_id and decided.field = g.field
            and decided.decision in ('accepted', 'corrected')
      )
) o
order by
    g.section, g.worth desc, g.dataset_id, g.field,
    case when g.section = 0 then o.confidence else o.informativeness end desc nulls last, o.sample_id;
comment on view annotator.review_queue is
    'Open samples, most useful first: whole datasets that can be decided with one click (one_click), those with the most samples first; then the most informative samples (informativeness), by dataset and field; last, without a prediction_id, samples of fields without a reliable model.';
comment on column annotator.review_queue.created_at is
    'When the prediction was made; in a row without a prediction, when the release was refused.';
comment on column annotator.review_queue.disagreement is
    'Share of the model kinds that differ from the majority; 0 if all agree.';
comment on column annotator.review_queue.dataset_value is
    'The most frequent value in the dataset, over open and decided suggestions; abstentions count with their best guess.';
comment on column annotator.review_queue.differs_from_dataset is
    'Whether the value, or the best guess of an abstention, is neither dataset_value nor a broader or narrower term of it.';
comment on column annotator.review_queue.one_click is
    'Whether every open sample in the dataset has a suggestion with a confidence of at least 0.8, all with one value, which is also the value of earlier decisions there, and none by a release that has learned from the sample.';
comment on column annotator.review_queue.informativeness is
    'Mean of 1 - confidence, disagreement and novelty, 0 to 1: how much could be learned from a review.';
comment on column annotator.review_queue.best_value is
    'The value, or the best guess of an abstention.';
