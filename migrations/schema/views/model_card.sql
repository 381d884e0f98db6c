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
    answer.accuracy,
    answer.balanced_accuracy,
    answer.mean_over_datasets,
    answer.mean_over_classes,
    answer.held_out_samples,
    answer.held_out_datasets,
    kind.accuracy as by_kind,
    r.reasons,
    r.created_at,
    r.promoted_at,
    r.retired_at,
    answer.precision,
    answer.answered,
    answer.prediction_set_coverage,
    answer.expected_calibration_error,
    answer.auc,
    report.path as report,
    live.judged as live_judged,
    live.accuracy as live_accuracy,
    r.weights,
    r.organism,
    coalesce((t.configuration #>> '{cohort,left_out,copy}')::integer, 0)
        + coalesce((t.configuration #>> '{cohort,left_out,copy_with_another_label}')::integer, 0)
        as copies_left_out,
    (t.configuration #>> '{cohort,fitted}')::integer as fitted_samples
from annotator.release r
join annotator.training_run t using (run_id)
left join annotator.cohort c using (cohort_id)
left join annotator.release_report report using (release_id)
left join annotator.live_accuracy live using (release_id)
left join lateral (
    select
        max(m.value) filter (where m.name = 'accuracy') as accuracy,
        max(m.value) filter (where m.name = 'balanced_accuracy') as balanced_accuracy,
        max(m.value) filter (where m.name = 'mean_over_datasets') as mean_over_datasets,
        max(m.value) filter (where m.name = 'mean_over_classes') as mean_over_classes,
        max(m.samples) filter (where m.name = 'accuracy') as held_out_samples,
        max(m.datasets) filter (where m.name = 'accuracy') as held_out_datasets,
        max(m.value) filter (where m.name = 'precision') as precision,
        max(m.value) filter (where m.name = 'answered') as answered,
        max(m.value) filter (where m.name = 'prediction_set_coverage') as prediction_set_coverage,
        max(m.value) filter (where m.name = 'expected_calibration_error')
            as expected_calibration_error,
        max(m.value) filter (where m.name = 'auc') as auc
    from annotator.metric m
    where m.run_id = r.run_id and m.model_kind = 'combined' and m.class = '' and m.scheme <> 'cv'
) answer on true
left join lateral (
    select jsonb_object_agg(m.model_kind, m.value) as accuracy
    from annotator.metric m
    where m.run_id = r.run_id and m.name = 'accuracy' and m.class = '' and m.scheme <> 'cv'
) kind on true;
comment on view annotator.model_card is
    'One row per release: its cohort, configuration and metrics on held-out datasets.';
comment on column annotator.model_card.live_accuracy is
    'As in annotator.live_accuracy; null if no suggestion of the release has been judged yet.';
comment on column annotator.model_card.weights is
    'Share of each model kind in the combination; the shares sum to one. Null for releases of earlier versions.';
comment on column annotator.model_card.copies_left_out is
    'Labelled samples that were left out of the cohort because they are copies of others.';
comment on column annotator.model_card.fitted_samples is
    'Samples that the models are fitted on: those with a class, or fewer that are drawn of them (option training_samples of the preset). Null for releases of earlier versions.';
