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
    p.number_high
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

create or replace view annotator.review_queue as
with best as (
    select s.*, coalesce(s.value, s.models -> 'combined' ->> 'value') as best_value
    from annotator.suggestion s
    where s.status <> 'rejected'
), voted as (
    select
        b.*,
        count(b.best_value) over same_value as votes,
        sum(b.confidence) over same_value as weight
    from best b
    window same_value as (partition by b.dataset_id, b.field, b.best_value)
), compared as (
    select
        v.*,
        first_value(v.best_value) over ranked as dataset_value,
        first_value(v.lineage) over ranked as dataset_lineage
    from voted v
    window ranked as (
        partition by v.dataset_id, v.field
        order by v.votes desc, v.weight desc nulls last, v.best_value, cardinality(v.lineage) desc
    )
), opened as (
    select
        c.*,
        count(*) over whole_dataset as dataset_open,
        min(c.value) over whole_dataset = max(c.value) over whole_dataset as dataset_agrees,
        min(c.confidence) over whole_dataset as dataset_lowest_confidence
    from compared c
    where c.status in ('suggested', 'abstained')
      and not exists (
          select from annotator.effective_annotation a
          where a.sample_id = c.sample_id and a.field = c.field
      )
    window whole_dataset as (partition by c.dataset_id, c.field)
), newest as (
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
                filter (where brief.sentence ~ '^Refused|, and is not\)') as failed,
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
), shown as (
    select
        o.prediction_id,
        o.sample_id,
        o.dataset_id,
        o.field,
        o.value,
        o.lineage,
        o.confidence,
        o.status,
        o.reason,
        o.top_features,
        o.models,
        o.novelty,
        o.release_id,
        o.created_at,
        o.dataset_open,
        o.dataset_agrees,
        o.dataset_lowest_confidence,
        o.prediction_set,
        o.set_coverage,
        o.known_features,
        o.number,
        o.number_low,
        o.number_high,
        o.dataset_value,
        -- A broader or narrower term of the same line does not contradict.
        coalesce(
            o.best_value <> o.dataset_value
                and o.dataset_value <> all (o.lineage) and o.best_value <> all (o.dataset_lineage),
            false
        ) as differs_from_dataset
    from opened o
    union all
    -- Fields that nothing answers for: their samples are open without a suggestion.
    select
        null, s.sample_id::text, s.dataset_id::text, r.field, null, '{}', null, 'abstained', r.reason,
        '{}', '{}', null, r.release_id, r.created_at,
        count(*) over (partition by s.dataset_id, r.field), null, null,
        '{}', null, null, null, null, null, null, false
    from refused r
    cross join atlas.sample s
    where not exists (
        select from annotator.prediction p
        where p.sample_id = s.sample_id and p.field = r.field and p.is_current
    ) and not exists (
        select from annotator.effective_annotation a
        where a.sample_id = s.sample_id and a.field = r.field
    )
)
select
    q.prediction_id,
    q.sample_id,
    q.dataset_id,
    q.field,
    q.value,
    q.lineage,
    q.confidence,
    q.status,
    q.reason,
    q.top_features,
    q.models,
    q.novelty,
    q.release_id,
    q.created_at,
    q.dataset_open,
    q.dataset_agrees,
    q.dataset_lowest_confidence,
    -- Out here these two are worked out only for the rows that are asked for.
    (select count(distinct kind.value ->> 'value') > 1
     from jsonb_each(q.models) as kind
     where kind.key <> 'combined') as models_disagree,
    q.prediction_set,
    q.set_coverage,
    q.known_features,
    q.number,
    q.number_low,
    q.number_high,
    (select coalesce(1 - max(named.kinds) / sum(named.kinds), 0)::double precision
     from (
         select count(*) as kinds
         from jsonb_each(q.models) as kind
         where kind.key <> 'combined' and kind.value ->> 'value' is not null
         group by kind.value ->> 'value'
     ) named) as disagreement,
    q.dataset_value,
    q.differs_from_dataset
from shown q
order by
    q.prediction_id is null,
    q.dataset_agrees desc nulls last,
    q.dataset_lowest_confidence desc nulls last,
    q.dataset_id, q.field, q.confidence desc nulls last, q.sample_id;
comment on view annotator.review_queue is
    'What is open. Whole datasets that agree on one confident value come first; samples that no reliable model answers for come last, without a prediction_id.';
comment on column annotator.review_queue.disagreement is
    'Share of the model kinds that do not name what most of them name; 0 where all agree.';
comment on column annotator.review_queue.dataset_value is
    'What most suggestions of the dataset name, open and decided ones; abstentions count with their best guess.';
comment on column annotator.review_queue.differs_from_dataset is
    'Whether the value, or the best guess of an abstention, is neither dataset_value nor a broader or narrower term of it.';

create or replace view annotator.suspect_annotation as
select
    l.sample_id,
    l.dataset_id,
    r.field,
    l.label,
    l.predicted,
    v.probability as confidence,
    r.release_id,
    l.suspicion,
    l.rank,
    l.evidence
from annotator.release r
join annotator.training_run t using (run_id)
join annotator.label_suspicion l using (run_id)
join annotator.cohort_sample c on c.cohort_id = t.cohort_id and c.sample_id = l.sample_id
left join annotator.validation_prediction v
    on v.run_id = l.run_id and v.sample_id = l.sample_id and v.model_kind = 'combined'
where r.status = 'live'
  -- A label that was changed since is not what was contradicted.
  and exists (
      select from annotator.effective_annotation a
      where a.sample_id = l.sample_id and a.field = r.field and a.value = c.value
  )
order by r.field, l.rank, l.sample_id;
comment on view annotator.suspect_annotation is
    'Labels that stand and that models which had not seen the dataset contradict, most suspicious first.';

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
    figure.auc
from annotator.release r
join annotator.training_run t using (run_id)
left join annotator.cohort c using (cohort_id)
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
    where m.run_id = r.run_id and m.class = ''
) figure on true;
