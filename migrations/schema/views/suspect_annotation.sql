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
    l.evidence,
    r.organism
from annotator.release r
join annotator.training_run t using (run_id)
join annotator.label_suspicion l using (run_id)
join annotator.cohort_sample c on c.cohort_id = t.cohort_id and c.sample_id = l.sample_id
left join annotator.validation_prediction v
    on v.run_id = l.run_id and v.sample_id = l.sample_id and v.model_kind = 'combined'
where r.status = 'live'
  -- A label that was changed since is not the one that was contradicted.
  and exists (
      select from annotator.effective_annotation a
      where a.sample_id = l.sample_id and a.field = r.field
        and annotator.label_key(a.value) = annotator.label_key(c.value)
  )
order by r.field, l.rank, l.sample_id;
comment on view annotator.suspect_annotation is
    'Labels contradicted by models fitted without their dataset, most suspicious first.';
comment on column annotator.suspect_annotation.confidence is
    'Probability of the predicted class by models that held out the dataset; not that of a broader term.';
