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
comment on view annotator.model_card is
    'A row a release: what it was made from and how it did on datasets it had not seen.';
comment on column annotator.model_card.live_accuracy is
    'As in annotator.live_accuracy; null where no suggestion of the release has been judged yet.';
comment on column annotator.model_card.weights is
    'Model kind to its share of the answer; the shares sum to one. Null for releases of earlier versions.';
