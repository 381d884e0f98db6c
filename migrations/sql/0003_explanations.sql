-- Why models say what they say: of one sample for more than the winning class, of every
-- class of a release, and what a release's report is drawn from.

-- A row a class instead of one a feature: a twentieth of the rows, and the names of the
-- class and the kind once. The view below says it feature by feature.
create table annotator.class_contribution (
    prediction_id bigint not null references annotator.prediction on delete cascade,
    model_kind    text not null,
    method        text not null,
    class         text not null,
    class_rank    integer not null check (class_rank > 0),
    features      text[] not null check (array_position(features, null) is null),
    scores        double precision[] not null check (array_position(scores, null) is null),
    expression    double precision[] not null check (array_position(expression, null) is null),
    primary key (prediction_id, model_kind, class),
    check (cardinality(scores) = cardinality(features)),
    check (cardinality(expression) = cardinality(features))
);
comment on table annotator.class_contribution is
    'What each model kind held for and against a class of a sample; contribution has a row a feature.';
comment on column annotator.class_contribution.features is
    'Those that spoke loudest, for or against the class, the loudest first.';

insert into annotator.class_contribution
select c.prediction_id, c.model_kind, min(c.method),
    coalesce(p.models -> 'combined' ->> 'value', p.value, ''), 1,
    array_agg(c.feature order by c.rank), array_agg(c.score order by c.rank),
    array_agg(c.expression order by c.rank)
from annotator.contribution c
join annotator.prediction p using (prediction_id)
group by c.prediction_id, c.model_kind, p.models, p.value;
drop table annotator.contribution;

create view annotator.contribution as
select c.prediction_id, c.model_kind, c.method, c.class, c.class_rank,
    one.rank::integer as rank, one.feature, one.score, one.expression
from annotator.class_contribution c
cross join lateral unnest(c.features, c.scores, c.expression)
    with ordinality as one (feature, score, expression, rank);
comment on view annotator.contribution is
    'How much each feature spoke for a class of a sample, a row a feature.';
comment on column annotator.contribution.class is
    'The class that the scores speak for (above zero) or against.';
comment on column annotator.contribution.class_rank is
    'How probable the class was for the sample: 1 the winner, 2 the runner-up.';
comment on column annotator.contribution.rank is 'By absolute score, 1 the loudest.';
comment on column annotator.contribution.score is
    'Signed: above zero speaks for the class. Unit: logit (network, linear), probability (forest), margin (boosting).';
comment on column annotator.contribution.expression is 'Reads per million.';

create table annotator.class_marker (
    release_id      bigint not null references annotator.release on delete cascade,
    class           text not null,
    rank            integer not null check (rank > 0),
    feature         text not null,
    score           double precision not null,
    tree_rank       integer check (tree_rank > 0),
    stability       double precision check (stability between 0 and 1),
    mean_expression double precision not null check (mean_expression >= 0),
    expression      real[] not null,
    primary key (release_id, class, rank),
    unique (release_id, class, feature)
);
comment on table annotator.class_marker is
    'The features that set a class apart for the network of a release, rank 1 the first.';
comment on column annotator.class_marker.score is
    'Mean over the class''s samples of the DeepLIFT score for the class less its mean for the other classes, in logits.';
comment on column annotator.class_marker.tree_rank is
    'Rank of the feature for the class by tree SHAP of the forest, worked out the same way.';
comment on column annotator.class_marker.stability is
    'Share of the models that were made without a part of the datasets in which the feature is among the class''s markers too.';
comment on column annotator.class_marker.mean_expression is 'Of the class''s samples, reads per million.';
comment on column annotator.class_marker.expression is
    'Mean reads per million in each class, in the order of the release''s classes.';

create table annotator.class_similarity (
    release_id bigint not null references annotator.release on delete cascade,
    class      text not null,
    rival      text,
    samples    integer not null check (samples >= 0),
    changed    integer not null check (changed between 0 and samples),
    mean_steps double precision check (mean_steps >= 1),
    unique nulls not distinct (release_id, class, rival),
    check ((changed = 0) = (mean_steps is null))
);
comment on table annotator.class_similarity is
    'How many features must be set to zero, on average over the samples that change, before a sample of the class is taken for the rival; rival null: for any other class.';

create table annotator.class_enrichment (
    release_id bigint not null references annotator.release on delete cascade,
    source     text not null,
    set_name   text not null,
    class      text not null,
    background integer not null check (background > 0),
    set_size   integer not null check (set_size between 0 and background),
    markers    integer not null check (markers between 0 and background),
    overlap    integer not null check (overlap between 0 and least(set_size, markers)),
    p_value    double precision not null check (p_value between 0 and 1),
    q_value    double precision not null check (q_value between 0 and 1),
    features   text[] not null default '{}',
    primary key (release_id, source, set_name, class)
);
comment on table annotator.class_enrichment is
    'Over-representation of given sets of features among the markers of each class that it expresses above the median of the classes: hypergeometric, Benjamini-Hochberg over the release and source.';

create table annotator.sample_map (
    release_id bigint not null references annotator.release on delete cascade,
    sample_id  text not null,
    dataset_id text not null,
    class      text not null,
    x          real not null,
    y          real not null,
    primary key (release_id, sample_id)
);
comment on table annotator.sample_map is
    'The labelled samples of a release on a plane (t-SNE): neighbours have similar profiles.';

create table annotator.release_report (
    release_id bigint primary key references annotator.release on delete cascade,
    status     annotator.release_status not null,
    judged     bigint not null default 0,
    confirmed  bigint not null default 0,
    path       text not null,
    sha256     text not null check (sha256 ~ '^[0-9a-f]{64}$'),
    size       bigint not null check (size > 0),
    host       text not null,
    written_at timestamptz not null default now()
);
comment on table annotator.release_report is
    'Where the report of a release lies, on the host that wrote it; status, judged and confirmed are what it says of the release and its suggestions.';

-- Figures of random cross-validation stand beside those of held-out datasets from now on;
-- a model card shows the latter.
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
    report.path as report
from annotator.release r
join annotator.training_run t using (run_id)
left join annotator.cohort c using (cohort_id)
left join annotator.release_report report using (release_id)
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
