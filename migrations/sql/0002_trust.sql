-- How far an answer may be trusted, how a validation came out in full, and which labels
-- are probably wrong.

alter table annotator.prediction
    add column prediction_set text[] not null default '{}',
    add column set_coverage double precision check (set_coverage between 0 and 1),
    add column known_features double precision,
    add column number double precision,
    add column number_low double precision,
    add column number_high double precision;
comment on column annotator.prediction.prediction_set is
    'Classes, most probable first: one of them is right with the probability set_coverage, also in datasets that nobody has seen.';
comment on column annotator.prediction.known_features is
    'How many of the release''s features the sample expresses, relative to a usual training sample.';
comment on column annotator.prediction.number is
    'The predicted number (age in years); the true one is from number_low to number_high with the probability set_coverage.';

alter table annotator.validation_prediction add column novelty double precision;
comment on column annotator.validation_prediction.novelty is
    'How unlike its fold''s training part the sample is; the same for every model kind.';

create table annotator.validation_curve (
    run_id     bigint not null references annotator.training_run on delete cascade,
    scheme     text not null,
    model_kind text not null,
    curve      text not null check (curve in ('reliability', 'risk_coverage')),
    position   integer not null check (position > 0),
    x          double precision not null,
    y          double precision not null,
    samples    integer not null check (samples >= 0),
    primary key (run_id, scheme, model_kind, curve, position)
);
comment on table annotator.validation_curve is
    'Points in ascending x. Reliability: mean confidence of a bin, and its accuracy. Risk and coverage: share of samples answered, and share of the answers that are wrong.';

create table annotator.label_suspicion (
    run_id     bigint not null references annotator.training_run on delete cascade,
    sample_id  text not null,
    dataset_id text not null,
    label      text not null,
    predicted  text not null,
    suspicion  double precision not null,
    rank       integer not null check (rank > 0),
    evidence   jsonb not null default '{}',
    primary key (run_id, sample_id)
);
comment on table annotator.label_suspicion is
    'Labels of the cohort that models which had not seen the dataset speak against, rank 1 the most suspicious.';

-- Releases that are live keep the suspects they had.
insert into annotator.label_suspicion
    (run_id, sample_id, dataset_id, label, predicted, suspicion, rank)
select
    v.run_id, v.sample_id, v.dataset_id, v.truth, v.value, v.probability,
    row_number() over (partition by v.run_id order by v.probability desc, v.sample_id)
from annotator.release r
join annotator.validation_prediction v using (run_id)
where r.status = 'live' and v.model_kind = 'combined'
  and v.truth <> v.value and v.probability >= 0.5;

create view annotator.curve as
select
    r.release_id,
    r.field,
    r.status::text as status,
    c.scheme,
    c.model_kind,
    c.curve,
    c.position,
    c.x,
    c.y,
    c.samples
from annotator.release r
join annotator.validation_curve c using (run_id)
order by r.release_id desc, c.scheme, c.model_kind, c.curve, c.position;
comment on view annotator.curve is
    'The reliability and the risk-coverage curve behind each release.';
