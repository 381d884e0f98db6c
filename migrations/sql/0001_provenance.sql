-- Where models come from, what they said, and what people decided.

create type annotator.release_status as enum ('candidate', 'live', 'retired', 'rejected');
create type annotator.run_status as enum ('running', 'succeeded', 'failed', 'skipped');
create type annotator.prediction_status as enum ('suggested', 'abstained');
create type annotator.review_decision as enum ('accepted', 'rejected', 'corrected');

create table annotator.cohort (
    cohort_id    bigint generated always as identity primary key,
    field        text not null,
    hash         text not null check (hash ~ '^[0-9a-f]{64}$'),
    samples      integer not null check (samples >= 0),
    datasets     integer not null check (datasets >= 0),
    created_at   timestamptz not null default now(),
    unique (field, hash)
);
comment on table annotator.cohort is
    'The labelled samples a field was learned from; the hash covers ids, datasets, labels and counts.';

create table annotator.cohort_sample (
    cohort_id  bigint not null references annotator.cohort on delete cascade,
    sample_id  text not null,
    dataset_id text not null,
    value      text not null,
    class      text,
    primary key (cohort_id, sample_id)
);
comment on column annotator.cohort_sample.class is
    'The class the value was rolled up to; null where it found none and was left out.';

create table annotator.training_run (
    run_id             bigint generated always as identity primary key,
    field              text not null,
    preset             text not null,
    status             annotator.run_status not null default 'running',
    reason             text,
    cohort_id          bigint references annotator.cohort,
    configuration      jsonb not null default '{}',
    configuration_hash text,
    seed               bigint not null,
    versions           jsonb not null default '{}',
    host               text not null,
    folds              text,
    started_at         timestamptz not null default now(),
    finished_at        timestamptz,
    check ((status = 'running') = (finished_at is null))
);
create index training_run_field on annotator.training_run (field, run_id desc);
comment on column annotator.training_run.folds is
    'How datasets were held out, in words: every dataset by itself, or grouped into N folds.';

create table annotator.release (
    release_id  bigint generated always as identity primary key,
    field       text not null,
    run_id      bigint not null unique references annotator.training_run,
    status      annotator.release_status not null default 'candidate',
    classes     text[] not null check (cardinality(classes) >= 2),
    features    integer not null check (features > 0),
    reasons     text[] not null default '{}',
    created_at  timestamptz not null default now(),
    promoted_at timestamptz,
    retired_at  timestamptz,
    check (status not in ('live', 'retired') or promoted_at is not null),
    check ((status = 'retired') = (retired_at is not null))
);
create unique index one_live_release on annotator.release (field) where status = 'live';
create index release_field on annotator.release (field, release_id desc);

create table annotator.artefact (
    release_id bigint not null references annotator.release on delete cascade,
    name       text not null,
    media_type text not null,
    sha256     text not null check (sha256 ~ '^[0-9a-f]{64}$'),
    size       bigint not null,
    content    bytea not null,
    primary key (release_id, name),
    constraint content_is_what_it_was
        check (size = octet_length(content) and sha256 = encode(sha256(content), 'hex'))
);
alter table annotator.artefact alter column content set storage external;

create table annotator.validation_prediction (
    run_id        bigint not null references annotator.training_run on delete cascade,
    sample_id     text not null,
    dataset_id    text not null,
    model_kind    text not null,
    fold          integer not null,
    truth         text not null,
    value         text not null,
    probability   double precision not null check (probability between 0 and 1.000001),
    probabilities real[] not null,
    primary key (run_id, model_kind, sample_id)
);
comment on column annotator.validation_prediction.probabilities is
    'In the order of the release''s classes.';

create table annotator.metric (
    run_id     bigint not null references annotator.training_run on delete cascade,
    scheme     text not null,
    model_kind text not null,
    name       text not null,
    class      text not null default '',
    value      double precision not null,
    samples    integer not null,
    datasets   integer not null,
    primary key (run_id, scheme, model_kind, name, class)
);

create table annotator.annotation_run (
    annotation_run_id bigint generated always as identity primary key,
    worker            text not null,
    host              text not null,
    started_at        timestamptz not null default now(),
    finished_at       timestamptz,
    predicted         integer not null default 0,
    quarantined       integer not null default 0
);

create table annotator.work (
    sample_id         text not null,
    dataset_id        text not null,
    field             text not null,
    release_id        bigint not null references annotator.release on delete cascade,
    sample_updated_at timestamptz,
    queued_at         timestamptz not null default now(),
    leased_by         text,
    leased_until      timestamptz,
    attempts          integer not null default 0,
    primary key (sample_id, field),
    check ((leased_by is null) = (leased_until is null))
);
create index work_claim on annotator.work (field, dataset_id, sample_id);
comment on table annotator.work is
    'Samples waiting for, or leased to, a worker. A row goes when its result is written.';

create table annotator.prediction (
    prediction_id     bigint generated always as identity primary key,
    sample_id         text not null,
    dataset_id        text not null,
    field             text not null,
    release_id        bigint not null references annotator.release,
    input_hash        text not null check (input_hash ~ '^[0-9a-f]{64}$'),
    sample_updated_at timestamptz,
    value             text,
    lineage           text[] not null default '{}',
    confidence        double precision check (confidence between 0 and 1),
    status            annotator.prediction_status not null,
    reason            text,
    novelty           double precision,
    models            jsonb not null default '{}',
    top_features      text[] not null default '{}',
    annotation_run_id bigint references annotator.annotation_run,
    is_current        boolean not null default true,
    created_at        timestamptz not null default now(),
    unique (sample_id, field, release_id, input_hash),
    check (status <> 'suggested' or (value is not null and confidence is not null)),
    check (status <> 'abstained' or reason is not null)
);
create unique index one_current_prediction on annotator.prediction (sample_id, field)
    where is_current;
create index prediction_dataset on annotator.prediction (dataset_id, field) where is_current;
create index prediction_release on annotator.prediction (release_id);

create table annotator.contribution (
    prediction_id bigint not null references annotator.prediction on delete cascade,
    model_kind    text not null,
    method        text not null,
    rank          integer not null check (rank > 0),
    feature       text not null,
    score         double precision not null,
    expression    double precision not null,
    primary key (prediction_id, model_kind, rank)
);
comment on column annotator.contribution.score is
    'Signed: above zero speaks for the value. Unit: logit (network), probability (forest), margin (boosting).';
comment on column annotator.contribution.expression is 'Reads per million.';

create table annotator.quarantine (
    quarantine_id     bigint generated always as identity primary key,
    sample_id         text not null,
    field             text not null,
    release_id        bigint references annotator.release,
    sample_updated_at timestamptz,
    code              text not null,
    reason            text not null,
    created_at        timestamptz not null default now(),
    unique nulls not distinct (sample_id, field, release_id, sample_updated_at)
);
comment on column annotator.quarantine.release_id is
    'Set where only this release cannot use the sample; null where the sample itself is unusable.';

create table annotator.review (
    review_id     bigint generated always as identity primary key,
    prediction_id bigint not null unique references annotator.prediction,
    decision      annotator.review_decision not null,
    value         text,
    note          text,
    reviewer      text not null default session_user,
    reviewed_at   timestamptz not null default now(),
    check ((decision = 'rejected') = (value is null))
);

create table annotator.event (
    event_id bigint generated always as identity primary key,
    at       timestamptz not null default now(),
    kind     text not null,
    subject  text,
    detail   jsonb not null default '{}',
    actor    text not null default session_user
);
create index event_at on annotator.event (at);

create function annotator.event_is_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'annotator.event is append-only' using errcode = 'insufficient_privilege';
end $$;
create trigger append_only before update or delete or truncate on annotator.event
    for each statement execute function annotator.event_is_append_only();

create table annotator.heartbeat (
    worker     text primary key,
    host       text not null,
    pid        integer not null,
    version    text not null,
    state      text not null,
    started_at timestamptz not null default now(),
    beat_at    timestamptz not null default now()
);

create table annotator.tick (
    job       text not null,
    due_at    timestamptz not null,
    worker    text not null,
    outcome   text,
    taken_at  timestamptz not null default now(),
    primary key (job, due_at)
);
comment on table annotator.tick is
    'Each due time of a scheduled job, taken by one daemon: none runs twice.';
