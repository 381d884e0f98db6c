-- What people and other programs read. Columns are only ever added.

create function annotator.lineage(value text) returns text[]
language sql stable
begin atomic
    with recursive up (term, depth) as (
        select lineage.value, 0
        union
        select p.parent_id, up.depth + 1
        from up join atlas.term_parent p on p.term_id = up.term
        where up.depth < 64
    )
    select array_agg(term order by depth, term)
    from (select term, min(depth) as depth from up group by term) nearest;
end;
comment on function annotator.lineage(text) is
    'A term and its ancestors in the imported ontology, nearest first.';

create view annotator.effective_annotation as
with decided as (
    select distinct on (p.sample_id, p.field)
        p.sample_id, p.field, r.value, r.decision::text as source
    from annotator.review r
    join annotator.prediction p using (prediction_id)
    where r.decision in ('accepted', 'corrected')
    order by p.sample_id, p.field, r.review_id desc
)
select
    a.sample_id,
    a.field,
    coalesce(nullif(btrim(a.value), ''), a.numeric_value::text) as value,
    a.source
from atlas.annotation a
where btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN'
union all
select d.sample_id, d.field, d.value, d.source
from decided d
where not exists (
    select from atlas.annotation a
    where a.sample_id = d.sample_id and a.field = d.field
      and (btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN')
);
comment on view annotator.effective_annotation is
    'Curated values of the mirror, else what a curator accepted or corrected. Blanks are no values.';

create view annotator.suggestion as
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
    p.created_at
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
comment on view annotator.suggestion is
    'The answer for each sample and field as they are now, with what a curator decided about it.';

create view annotator.review_queue as
select
    s.prediction_id,
    s.sample_id,
    s.dataset_id,
    s.field,
    s.value,
    s.lineage,
    s.confidence,
    s.status,
    s.reason,
    s.top_features,
    s.models,
    s.novelty,
    s.release_id,
    s.created_at,
    count(*) over whole_dataset as dataset_open,
    min(s.value) over whole_dataset = max(s.value) over whole_dataset as dataset_agrees,
    min(s.confidence) over whole_dataset as dataset_lowest_confidence,
    (select count(distinct kind.value ->> 'value') > 1
     from jsonb_each(s.models) as kind
     where kind.key <> 'combined') as models_disagree
from annotator.suggestion s
where s.status in ('suggested', 'abstained')
  and not exists (
      select from annotator.effective_annotation a
      where a.sample_id = s.sample_id and a.field = s.field
  )
window whole_dataset as (partition by s.dataset_id, s.field)
order by
    (min(s.value) over whole_dataset = max(s.value) over whole_dataset) desc nulls last,
    min(s.confidence) over whole_dataset desc nulls last,
    s.dataset_id, s.field, s.confidence desc nulls last, s.sample_id;
comment on view annotator.review_queue is
    'What is open. Whole datasets that agree on one confident value come first.';

create view annotator.suspect_annotation as
select
    v.sample_id,
    v.dataset_id,
    r.field,
    v.truth as label,
    v.value as predicted,
    v.probability as confidence,
    r.release_id
from annotator.release r
join annotator.training_run t using (run_id)
join annotator.validation_prediction v using (run_id)
join annotator.cohort_sample c on c.cohort_id = t.cohort_id and c.sample_id = v.sample_id
where r.status = 'live' and v.model_kind = 'combined'
  and v.truth <> v.value and v.probability >= 0.5
  -- A label that was changed since is not what was contradicted.
  and exists (
      select from annotator.effective_annotation a
      where a.sample_id = v.sample_id and a.field = r.field and a.value = c.value
  )
order by v.probability desc, v.sample_id;
comment on view annotator.suspect_annotation is
    'Labels that stand and that models which had not seen the dataset contradict.';

create view annotator.model_card as
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
    r.retired_at
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
        jsonb_object_agg(m.model_kind, m.value) filter (where m.name = 'accuracy') as by_kind
    from annotator.metric m
    where m.run_id = r.run_id and m.class = ''
) figure on true;
comment on view annotator.model_card is
    'A row a release: what it was made from and how it did on datasets it had not seen.';
