-- Columns are only ever added, at the end: what others built on these views goes on working.

create or replace view annotator.suggestion as
select
    p.prediction_id,
    p.sample_id,
    coalesce(s.dataset_id, p.dataset_id) as dataset_id,
    p.field,
    coalesce(r.value, p.value) as value,
    case when r.decision = 'corrected' then annotator.lineage(r.value) else p.lineage end as lineage,
    p.confidence,
    case
        when r.decision is not null then r.decision::text
        when before.review_id is not null then 'rejected'
        else p.status::text
    end as status,
    case
        when r.decision is not null then r.note
        when before.review_id is not null then 'the same value was rejected before'
        else p.reason
    end as reason,
    p.top_features,
    p.models,
    p.novelty,
    p.release_id,
    p.created_at,
    p.prediction_set,
    p.set_coverage,
    p.known_features,
    p.number,
    p.number_low,
    p.number_high,
    coalesce(r.value, p.best_value) as best_value
from annotator.prediction p
left join annotator.review r using (prediction_id)
left join atlas.sample s on s.sample_id = p.sample_id
left join lateral (
    select earlier.review_id
    from annotator.prediction old
    join annotator.review earlier using (prediction_id)
    where old.sample_id = p.sample_id and old.field = p.field
      and old.prediction_id <> p.prediction_id
      and earlier.decision = 'rejected' and old.value = p.value
    limit 1
) before on true
where p.is_current
  and (
      r.review_id is not null
      -- A sample may change long before the next pass. Epochs are the same in every time
      -- zone, also where the atlas keeps times without one.
      or s.sample_id is not null
      and extract(epoch from p.sample_updated_at) is not distinct from extract(epoch from s.updated_at)
  );
comment on column annotator.suggestion.best_value is
    'The value, or the best guess of an abstention.';

create or replace view annotator.review_queue as
with newest as (
    select distinct on (r.field) r.release_id, r.field, r.status, r.reasons, r.created_at
    from annotator.release r
    where r.status <> 'candidate'
    order by r.field, r.release_id desc
), refused as (
    select
        n.release_id, n.field, n.created_at,
        'no reliable model: '
            || left(coalesce(said.failed, said.everything, 'it was rejected'), 500) as reason
    from newest n
    cross join lateral (
        -- The gate gives a sentence for every comparison; those it failed say so.
        select
            string_agg(brief.words, '; ' order by brief.place)
                filter (where brief.sentence ~ '^Refused|, and is not\)|[0-9] is worse than ') as failed,
            string_agg(brief.words, '; ' order by brief.place) as everything
        from (
            select
                sentence, place,
                regexp_replace(
                    sentence,
                    '^Refused: |^On \d+ held-out samples, |, and is not(?=\)\.?$)|\.$', '', 'g'
                ) as words
            from unnest(n.reasons) with ordinality as given (sentence, place)
        ) brief
    ) said
    where n.status = 'rejected'
      and not exists (
          select from annotator.release live where live.field = n.field and live.status = 'live'
      )
), places as (
    -- Read in the order of the index and no further than asked for: so the ORDER BY in here,
    -- a subquery for each row instead of a join, and the same types in every branch.
    (select
        g.section, g.worth, g.dataset_id, g.field, g.open, g.agrees, g.lowest_confidence,
        g.best_value, g.lineage, g.has_reviews,
        null::bigint as refused_id, null::text as refused_reason, null::timestamptz as refused_at
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
        f.best_value, f.lineage, f.has_reviews, null::bigint, null::text, null::timestamptz
    from (select distinct n.dataset_id, n.field from annotator.queue_change n) c
    cross join lateral annotator.queue_figure(c.dataset_id, c.field) f
    union all
    -- Fields that nothing answers for: their samples are open without a suggestion.
    select
        2::smallint, 0::double precision, d.dataset_id::text, r.field, null::bigint, null::boolean,
        null::double precision, null::text, null::text[], false,
        r.release_id, r.reason, r.created_at
    from refused r
    cross join atlas.dataset d
)
select
    o.prediction_id,
    o.sample_id,
    g.dataset_id::text as dataset_id,
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
    -- A broader or narrower term of the same line does not contradict.
    coalesce(
        o.best_value <> g.best_value
            and g.best_value <> all (o.lineage) and o.best_value <> all (g.lineage),
        false
    ) as differs_from_dataset,
    g.section = 0 as one_click,
    o.informativeness,
    o.best_value
from (
    -- Sorted in here, so that the rows of only so many datasets are looked up as are asked for.
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
        from atlas.annotation a
        where a.sample_id = p.sample_id and a.field = p.field
          and (btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN')
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
    from atlas.sample s
    where g.section = 2 and s.dataset_id = g.dataset_id
      and not exists (
          select from annotator.prediction p
          where p.sample_id = s.sample_id and p.field = g.field and p.is_current
      ) and not exists (
          select from atlas.annotation a
          where a.sample_id = s.sample_id and a.field = g.field
            and (btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN')
      ) and not exists (
          select from annotator.review decided
          where decided.sample_id = s.sample_id and decided.field = g.field
            and decided.decision in ('accepted', 'corrected')
      )
) o
order by
    g.section, g.worth desc, g.dataset_id, g.field,
    case when g.section = 0 then o.confidence else o.informativeness end desc nulls last, o.sample_id;
comment on column annotator.review_queue.best_value is
    'The value, or the best guess of an abstention.';

create or replace view annotator.effective_annotation as
with decided as (
    select distinct on (p.sample_id, p.field)
        p.sample_id, p.field, r.value, r.decision::text as source,
        p.prediction_id, p.release_id, p.confidence,
        r.number, r.review_id, r.reviewer, r.reviewed_at, r.note
    from annotator.review r
    join annotator.prediction p using (prediction_id)
    where r.decision in ('accepted', 'corrected')
    order by p.sample_id, p.field, r.review_id desc
)
select
    a.sample_id,
    a.field,
    coalesce(nullif(btrim(a.value), ''), a.numeric_value::text) as value,
    a.source,
    'mirror' as origin,
    null::bigint as review_id,
    null::text as reviewer,
    null::timestamptz as reviewed_at,
    null::text as note,
    null::bigint as prediction_id,
    null::bigint as release_id,
    null::double precision as confidence,
    nullif(a.numeric_value::float8, 'NaN') as numeric_value
from atlas.annotation a
where btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN'
union all
select
    d.sample_id, d.field, d.value, d.source, 'review', d.review_id, d.reviewer, d.reviewed_at,
    d.note, d.prediction_id, d.release_id, d.confidence, d.number
from decided d
where not exists (
    select from atlas.annotation a
    where a.sample_id = d.sample_id and a.field = d.field
      and (btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN')
);
comment on column annotator.effective_annotation.numeric_value is
    'The number behind the value, where there is one: that of the mirror, or the one that a correction gave.';

create or replace view annotator.judged_suggestion as
-- Not materialized: of one release and field, only its labels are looked at.
with label as not materialized (
    select
        a.sample_id::text as sample_id, a.field::text as field,
        coalesce(nullif(btrim(a.value), ''), a.numeric_value::text) as value,
        coalesce(
            nullif(a.numeric_value::float8, 'NaN'),
            case when btrim(a.value) ~ '^\d+\.?\d*$' then btrim(a.value)::float8 end
        ) as number,
        'mirror' as origin
    from atlas.annotation a
    where btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN'
    union all
    select r.sample_id, r.field, r.value, r.number, 'review'
    from annotator.review r
    where r.decision in ('accepted', 'corrected')
      and not exists (
          select from atlas.annotation a
          where a.sample_id = r.sample_id and a.field = r.field
            and (btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN')
      )
), line as not materialized (
    select given.field, given.value, annotator.lineage(given.value) as lineage
    from (select distinct l.field, l.value from label l where l.number is null) given
), compared as (
    select
        p.prediction_id, p.release_id, p.sample_id, p.field, p.value, p.confidence,
        l.value as label, l.origin,
        case
            when l.number is not null and annotator.in_interval(p.value, l.number) is not null
                then annotator.in_interval(p.value, l.number)
            when lower(btrim(p.value)) = lower(l.value) then true
            when p.value = any (line.lineage) then true
            -- A label that is broader than the suggestion, or an interval that is cut
            -- otherwise, neither confirms nor contradicts it.
            when l.value = any (p.lineage[2:]) then null
            when annotator.in_interval(p.value, 0) is not null
                and annotator.in_interval(l.value, 0) is not null then null
            else false
        end as is_right
    from label l
    join annotator.prediction p on p.sample_id = l.sample_id and p.field = l.field
    left join line on line.field = l.field and line.value = l.value
    where p.status = 'suggested'
    union all
    -- A value that was rejected is wrong, whichever release said it.
    select
        p.prediction_id, p.release_id, p.sample_id, p.field, p.value, p.confidence,
        null, 'review', false
    from annotator.review r
    join annotator.prediction rejected using (prediction_id)
    join annotator.prediction p
        on p.sample_id = r.sample_id and p.field = r.field and p.value = rejected.value
    where r.decision = 'rejected' and p.status = 'suggested'
      and not exists (
          select from label l where l.sample_id = p.sample_id and l.field = p.field
      )
)
select distinct on (c.release_id, c.field, c.sample_id)
    c.prediction_id, c.release_id, c.field, c.sample_id, c.value, c.confidence, c.label,
    c.origin, c.is_right
from compared c
-- What a release has learned from is no test of it, as after undo_review.
where not exists (
    select from annotator.learned_sample learned
    where learned.release_id = c.release_id and learned.sample_id = c.sample_id
)
order by c.release_id, c.field, c.sample_id, c.prediction_id desc, c.is_right;

create or replace function annotator.annotation_history(sample_id text)
returns table (at timestamptz, what text, field text, value text, by text, detail jsonb)
language sql stable
begin atomic
    select h.at, h.what, h.field, h.value, h.by, jsonb_strip_nulls(h.detail)
    from (
        select
            p.created_at as at, p.status::text as what, p.field, p.value,
            'release ' || p.release_id as by,
            jsonb_build_object(
                'prediction_id', p.prediction_id, 'confidence', p.confidence, 'reason', p.reason,
                'dataset_id', p.dataset_id, 'current', p.is_current) as detail,
            p.prediction_id as place
        from annotator.prediction p
        where p.sample_id = annotation_history.sample_id
        union all
        select
            r.reviewed_at, r.decision::text, p.field, r.value, r.reviewer,
            jsonb_build_object(
                'review_id', r.review_id, 'prediction_id', r.prediction_id,
                'number', r.number, 'note', r.note),
            r.review_id
        from annotator.review r join annotator.prediction p using (prediction_id)
        where p.sample_id = annotation_history.sample_id
        union all
        select
            u.reviewed_at, u.decision::text, p.field, u.value, u.reviewer,
            jsonb_build_object(
                'review_id', u.review_id, 'prediction_id', u.prediction_id,
                'number', u.number, 'note', u.note),
            u.review_id
        from annotator.undone_review u join annotator.prediction p using (prediction_id)
        where p.sample_id = annotation_history.sample_id
        union all
        select
            u.undone_at, 'review undone', p.field, u.value, u.undone_by,
            jsonb_build_object(
                'review_id', u.review_id, 'prediction_id', u.prediction_id,
                'number', u.number, 'note', u.undo_note),
            u.review_id
        from annotator.undone_review u join annotator.prediction p using (prediction_id)
        where p.sample_id = annotation_history.sample_id
        union all
        select
            q.created_at, 'quarantined', q.field, null, 'release ' || q.release_id,
            jsonb_build_object('code', q.code, 'reason', q.reason), q.quarantine_id
        from annotator.quarantine q
        where q.sample_id = annotation_history.sample_id
        union all
        select
            c.seen_at,
            case when c.what = 'dataset' then 'moved to dataset'
                when c.value is null then 'label removed' else 'labelled' end,
            c.field, c.value, coalesce('mirror: ' || c.source, 'mirror'), '{}', c.change_id
        from annotator.mirror_change c
        where c.sample_id = annotation_history.sample_id
        union all
        -- Labels that nobody watched coming: they were there first, or came just now.
        select
            null, 'labelled', a.field::text,
            coalesce(nullif(btrim(a.value), ''), a.numeric_value::text), 'mirror: ' || a.source,
            '{}', 0
        from atlas.annotation a
        where a.sample_id = annotation_history.sample_id
          and (btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN')
          and coalesce(nullif(btrim(a.value), ''), a.numeric_value::text) is distinct from (
              select c.value from annotator.mirror_change c
              where c.sample_id = a.sample_id and c.field = a.field
              order by c.change_id desc limit 1
          )
    ) h
    order by h.at nulls first, h.place, h.field;
end;

create or replace view annotator.model_card as
select
    r.release_id,
    r.field,
    r.status::text as status,
    t.preset,
    r.classes,
    r.features,
    c.samples,
    c.datasets,
    c.hash as cohort_hash,
    t.configuration_hash,
    t.configuration,
    t.seed,
    t.versions,
    t.host,
    t.folds,
    t.finished_at - t.started_at as duration,
    figure.accuracy,
    figure.balanced_accuracy,
    figure.mean_over_datasets,
    figure.mean_over_classes,
    figure.held_out_samples,
    figure.held_out_datasets,
    figure.by_kind,
    r.reasons,
    r.created_at,
    r.promoted_at,
    r.retired_at,
    figure.precision,
    figure.answered,
    figure.prediction_set_coverage,
    figure.expected_calibration_error,
    figure.auc,
    report.path as report,
    live.judged as live_judged,
    live.accuracy as live_accuracy,
    r.weights
from annotator.release r
join annotator.training_run t using (run_id)
left join annotator.cohort c using (cohort_id)
left join annotator.release_report report using (release_id)
left join annotator.live_accuracy live using (release_id)
left join lateral (
    select
        max(m.value) filter (where m.model_kind = 'combined' and m.name = 'accuracy') as accuracy,
        max(m.value) filter (where m.model_kind = 'combined' and m.name = 'balanced_accuracy')
            as balanced_accuracy,
        max(m.value) filter (where m.model_kind = 'combined' and m.name = 'mean_over_datasets')
            as mean_over_datasets,
        max(m.value) filter (where m.model_kind = 'combined' and m.name = 'mean_over_classes')
            as mean_over_classes,
        max(m.samples) filter (where m.model_kind = 'combined' and m.name = 'accuracy')
            as held_out_samples,
        max(m.datasets) filter (where m.model_kind = 'combined' and m.name = 'accuracy')
            as held_out_datasets,
        jsonb_object_agg(m.model_kind, m.value) filter (where m.name = 'accuracy') as by_kind,
        max(m.value) filter (where m.model_kind = 'combined' and m.name = 'precision') as precision,
        max(m.value) filter (where m.model_kind = 'combined' and m.name = 'answered') as answered,
        max(m.value) filter (where m.model_kind = 'combined' and m.name = 'prediction_set_coverage')
            as prediction_set_coverage,
        max(m.value) filter (where m.model_kind = 'combined' and m.name = 'expected_calibration_error')
            as expected_calibration_error,
        max(m.value) filter (where m.model_kind = 'combined' and m.name = 'auc') as auc
    from annotator.metric m
    where m.run_id = r.run_id and m.class = '' and m.scheme <> 'cv'
) figure on true;
comment on column annotator.model_card.weights is
    'Model kind to its share of the answer; the shares sum to one. Null for releases of earlier versions.';
