create or replace view annotator.suggestion as
select
    p.prediction_id,
    p.sample_id,
    coalesce(s.dataset_id, p.dataset_id) as dataset_id,
    p.field,
    coalesce(r.value, p.value) as value,
    case
        when r.decision is distinct from 'corrected' then p.lineage
        when annotator.is_ontology_field(p.field) then annotator.lineage(r.value)
        else array[r.value]
    end as lineage,
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
    coalesce(r.value, p.best_value) as best_value,
    (select made.organism from annotator.release made where made.release_id = p.release_id)
        as organism
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
      -- A sample may change long before the next pass. Epochs do not depend on the time
      -- zone, even if the atlas stores times without one.
      or s.sample_id is not null
      and extract(epoch from p.sample_updated_at) is not distinct from extract(epoch from s.updated_at)
  );
comment on view annotator.suggestion is
    'One row per sample and field: the current prediction, with the decision of a curator about it.';
comment on column annotator.suggestion.best_value is
    'The value, or the best guess of an abstention.';
comment on column annotator.suggestion.confidence is
    'The confidence of the release in its own value, also if a curator corrected it.';
