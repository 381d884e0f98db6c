-- What revision 0002 brought, on top: prediction sets, numbers, curves, suspect labels.

update annotator.prediction
set prediction_set = '{lung,blood}', set_coverage = 0.9, known_features = 1;
update annotator.validation_prediction set novelty = 0.5;
insert into annotator.validation_curve
select run_id, 'one-dataset-out', 'combined', curve, position, position / 10.0, 0.5, 10
from annotator.release, unnest('{reliability,risk_coverage}'::text[]) as curve,
    generate_series(1, 3) as position;
insert into annotator.label_suspicion
    (run_id, sample_id, dataset_id, label, predicted, suspicion, rank, evidence)
select run_id, 's32', 'D1', 'blood', 'lung', 0.75, 1, '{"neighbours": 3}'
from annotator.release where status = 'retired'
on conflict do nothing;

-- Ages, which are intervals with a number: of s41 to s45.
insert into annotator.training_run (field, preset, seed, host, status, finished_at)
values ('age', 'default', 6, 'here', 'succeeded', now());
insert into annotator.release (field, run_id, status, classes, features, promoted_at)
select 'age', run_id, 'live', '{"(20;45]","(45;70]"}', 2, now()
from annotator.training_run where seed = 6;
insert into annotator.artefact (release_id, name, media_type, sha256, size, content)
select release_id, 'model.json', 'application/json', encode(sha256('{}'), 'hex'), 2, '{}'
from annotator.release where field = 'age';
insert into annotator.prediction (
    sample_id, dataset_id, field, release_id, input_hash, sample_updated_at, value, lineage,
    confidence, status, models, prediction_set, set_coverage, number, number_low, number_high
)
select s.sample_id, s.dataset_id, 'age', release_id, repeat('0', 64), s.updated_at, '(45;70]',
    '{(45;70]}', 0.9, 'suggested', '{"forest": {"value": "(45;70]", "probability": 0.9}}',
    '{(45;70]}', 0.9, 60, 50, 70
from atlas.sample s, annotator.release r
where r.field = 'age' and s.sample_id in ('s41', 's42', 's43', 's44', 's45');
