create or replace view annotator.queue_member as
select
    p.prediction_id,
    p.sample_id,
    p.dataset_id,
    p.field,
    p.release_id,
    p.status,
    p.confidence,
    p.disagreement,
    p.informativeness,
    coalesce(r.value, p.value) as value,
    coalesce(r.value, p.best_value) as best_value,
    case
        when r.decision is distinct from 'corrected' then p.lineage
        when annotator.is_ontology_field(p.field) then annotator.lineage(r.value)
        else array[r.value]
    end as lineage,
    coalesce(r.decision in ('accepted', 'corrected'), false) as is_decided,
    coalesce(r.decision = 'rejected', r.rejected, false) as is_rejected,
    r.decided is not null as has_reviews,
    r.decision is null
        and label.found is null
        and r.decided is not true as is_unanswered
from annotator.prediction p
-- Looked up per prediction, whatever the statistics are: LIMIT and the aggregate keep
-- the planner from reading whole tables.
left join lateral (
    select
        max(given.decision) filter (where given.prediction_id = p.prediction_id) as decision,
        max(given.value) filter (where given.prediction_id = p.prediction_id) as value,
        -- Of this and earlier predictions.
        bool_or(given.decision in ('accepted', 'corrected')) as decided,
        bool_or(
            given.decision = 'rejected'
            and (select old.value from annotator.prediction old
                 where old.prediction_id = given.prediction_id) = p.value
        ) as rejected
    from annotator.review given
    where given.sample_id = p.sample_id and given.field = p.field
) r on true
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
where p.is_current
  and (
      r.decision is not null
      or s.found
      and extract(epoch from p.sample_updated_at) is not distinct from extract(epoch from s.updated_at)
  );
comment on view annotator.queue_member is
    'The members of the review queue: current predictions, and whether they are open (is_unanswered and not is_rejected).';
