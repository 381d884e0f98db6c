-- From the tables of 0001 to those that annotator/store/tables.py describes.
-- Functions that triggers and generated columns call have been created by the revision.

-- Runs that were stopped on request have a status of their own. A value that is added to an
-- enum cannot be used in the same transaction, so the type is replaced.
alter type annotator.run_status rename to run_status_0001;
create type annotator.run_status as enum
    ('running', 'succeeded', 'failed', 'skipped', 'interrupted');
alter table annotator.training_run
    drop constraint training_run_check,
    alter column status drop default,
    alter column status type annotator.run_status using (
        case when status = 'failed' and reason = 'interrupted' then 'interrupted'
            else status::text end
    )::annotator.run_status;
alter table annotator.training_run
    alter column status set default 'running',
    add check ((status = 'running') = (finished_at is null));
drop type annotator.run_status_0001;
update annotator.training_run set reason = null where status = 'interrupted';

-- Releases: shares of the model kinds, when one stopped being live, and comparisons of the gate.
alter table annotator.release
    add column weights jsonb
        constraint weights_are_an_object check (jsonb_typeof(weights) = 'object'),
    drop constraint release_check1,
    add constraint retired_has_time check (status <> 'retired' or retired_at is not null),
    add constraint retired_was_live check (
        retired_at is null or status = 'retired' or status = 'rejected' and promoted_at is not null
    );
comment on column annotator.release.weights is
    'Share of each model kind in the combination; the shares sum to one. Null for releases of earlier versions.';
comment on column annotator.release.retired_at is
    'When the release stopped being live: replaced by a newer one (retired), or damaged and replaced by the fallback release (rejected).';
-- The event log lists the releases that were found damaged so far.
update annotator.release r set retired_at = damaged.at
from (
    select (e.detail ->> 'release_id')::bigint as release_id, max(e.at) as at
    from annotator.event e
    where e.kind = 'failure' and e.detail ? 'reinstated'
    group by 1
) damaged
where damaged.release_id = r.release_id and r.status = 'rejected' and r.retired_at is null;
-- Digests of files: so far in the first event about a release; for releases without one, those
-- of the files that there are.
alter table annotator.release
    add column digests jsonb not null default '{}'
        constraint digests_are_an_object check (jsonb_typeof(digests) = 'object');
comment on column annotator.release.digests is
    'SHA-256 of each file by name. Set when the release is made, and never changed.';
update annotator.release r set digests = coalesce(
    (select e.detail -> 'artefacts' from annotator.event e
     where e.kind = 'candidate' and e.detail ->> 'release_id' = r.release_id::text
       and jsonb_typeof(e.detail -> 'artefacts') = 'object'
     order by e.event_id limit 1),
    (select jsonb_object_agg(a.name, a.sha256) from annotator.artefact a
     where a.release_id = r.release_id),
    '{}'
);

-- One live release per field and organism. All releases so far are of one organism.
alter table annotator.training_run add column organism text not null default 'Homo sapiens';
alter table annotator.release add column organism text not null default 'Homo sapiens';
comment on column annotator.release.organism is
    'The organism of the samples that it has learned from; it predicts no others.';
drop index annotator.one_live_release;
create unique index one_live_release on annotator.release (field, organism)
    where status = 'live';
-- A claim reads the rows of one release only.
drop index annotator.work_claim;
create index work_claim on annotator.work (field, release_id, dataset_id, sample_id);

-- Locks of our roles: readers and curators have no rights on this table.
create table annotator.lock (
    name     text primary key,
    pid      integer,
    role     text,
    session  text,
    taken_at timestamptz
);
comment on table annotator.lock is
    'Locks, as locks on rows; where pid is given, a session holds the lock until it ends.';
insert into annotator.lock (name)
select 'watch_mirror' union all
select 'queue group ' || number from generate_series(0, 1023) number;

create table annotator.organism_spelling (
    spelling text primary key,
    organism text not null
);
comment on table annotator.organism_spelling is
    'The organism that a spelling in atlas.sample means, where it is written in another way; the empty spelling is a missing organism. Filled before samples are annotated or learned from.';

create table annotator.release_comparison (
    release_id    bigint not null references annotator.release on delete cascade,
    position      integer not null check (position > 0),
    name          text not null,
    compared_with text not null,
    ours          double precision not null,
    theirs        double precision not null,
    chance        double precision,
    margin        double precision not null,
    passed        boolean not null,
    samples       integer not null check (samples >= 0),
    datasets      integer not null check (datasets >= 0),
    sentence      text not null,
    primary key (release_id, position)
);
comment on table annotator.release_comparison is
    'The comparisons of the gate before a release was promoted or rejected: one row per metric and opponent.';
comment on column annotator.release_comparison.name is 'The metric, as in annotator.metric.';
comment on column annotator.release_comparison.compared_with is
    'live for the release that was live then, else the name of the baseline.';
comment on column annotator.release_comparison.ours is
    'The metric of the release, on held-out samples that both predicted.';
comment on column annotator.release_comparison.theirs is
    'The metric of the opponent, on the same samples.';
comment on column annotator.release_comparison.chance is
    'The metric expected from guessing, used instead of a baseline that is lower; null if guessing is not considered.';
comment on column annotator.release_comparison.margin is
    'How far the release may fall behind the live one, or has to be ahead of a baseline.';
comment on column annotator.release_comparison.sentence is
    'The comparison as a sentence, as in release.reasons.';

create table annotator.release_loading (
    release_id bigint primary key references annotator.release on delete cascade,
    process    text not null,
    pid        integer not null,
    role       text not null,
    session    text not null,
    started_at timestamptz not null default clock_timestamp(),
    deaths     integer not null default 0 check (deaths >= 0)
);
comment on table annotator.release_loading is
    'Releases that are being loaded into memory, or whose loading ended the process.';
comment on column annotator.release_loading.deaths is
    'Number of processes that ended in succession while they loaded the release. It is not loaded again after the second; deleting the row allows it.';

create table annotator.declared_word (
    field text not null,
    word  text not null,
    value text not null,
    primary key (field, word)
);
comment on table annotator.declared_word is
    'The values and synonyms that fields are declared with.';

-- Validation: novelty, curves and suspect labels.
alter table annotator.validation_prediction add column novelty double precision;
comment on column annotator.validation_prediction.novelty is
    'How unlike the training samples of its fold the sample is; the same for every model kind.';

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
    'Labels of the cohort that are contradicted by models fitted without the dataset; rank 1 is the most suspicious.';
-- Live releases keep their suspect labels.
insert into annotator.label_suspicion
    (run_id, sample_id, dataset_id, label, predicted, suspicion, rank)
select
    v.run_id, v.sample_id, v.dataset_id, v.truth, v.value, v.probability,
    row_number() over (partition by v.run_id order by v.probability desc, v.sample_id)
from annotator.release r
join annotator.validation_prediction v using (run_id)
where r.status = 'live' and v.model_kind = 'combined'
  and v.truth <> v.value and v.probability >= 0.5;

-- Predictions: sets, numbers, probabilities of all classes, and values derived from them.
alter table annotator.prediction
    add column prediction_set text[] not null default '{}',
    add column set_coverage double precision check (set_coverage between 0 and 1),
    add column known_features double precision,
    add column number double precision,
    add column number_low double precision,
    add column number_high double precision,
    add column class_probabilities real[]
        constraint class_probabilities_are_probabilities check (
            0 <= all (class_probabilities) and 1 >= all (class_probabilities)
            and array_position(class_probabilities, null) is null
        ),
    -- No query searches by whole arrays, and ANALYZE would unpack every one that it samples.
    alter column class_probabilities set statistics 0,
    add column best_value text generated always as
        (coalesce(value, models -> 'combined' ->> 'value')) stored,
    add column disagreement double precision generated always as
        (annotator.disagreement(models)) stored,
    add column informativeness double precision generated always as
        (annotator.informativeness(confidence, models, novelty)) stored;
comment on column annotator.prediction.prediction_set is
    'Classes, most probable first, that contain the true class with probability set_coverage, also in new datasets.';
comment on column annotator.prediction.known_features is
    'Number of the release''s features that the sample expresses, relative to a typical training sample.';
comment on column annotator.prediction.number is
    'The predicted number (age in years); the true one lies between number_low and number_high with probability set_coverage.';
comment on column annotator.prediction.class_probabilities is
    'Combined probabilities, in the order of the release''s classes; null for predictions by earlier versions.';
comment on column annotator.prediction.best_value is
    'The value, or the best guess of an abstention.';
comment on column annotator.prediction.informativeness is
    'How much could be learned from a review, 0 to 1: mean of 1 - confidence, disagreement and novelty.';
-- Pending and predicted samples are counted from the index alone.
drop index annotator.one_current_prediction;
create unique index one_current_prediction on annotator.prediction (sample_id, field)
    include (release_id, sample_updated_at, status) where is_current;
-- The newest predictions of a release, by when their samples were added or changed.
create index prediction_recent
    on annotator.prediction (release_id, (coalesce(sample_updated_at, created_at))) where is_current;

-- One row per class instead of one per feature: a twentieth of the rows, and the names of the
-- class and the kind once. The view annotator.contribution has one row per feature.
create table annotator.class_contribution (
    prediction_id bigint not null references annotator.prediction on delete cascade,
    model_kind    text not null,
    method        text not null,
    class         text not null,
    class_rank    integer not null check (class_rank > 0),
    features      text[] not null check (array_position(features, null) is null),
    scores        double precision[] not null check (array_position(scores, null) is null),
    expression    double precision[] not null check (array_position(expression, null) is null),
    other_samples double precision check (other_samples is null or model_kind = 'combined'),
    primary key (prediction_id, model_kind, class),
    check (cardinality(scores) = cardinality(features)),
    check (cardinality(expression) = cardinality(features))
);
comment on table annotator.class_contribution is
    'Contributions of features to a class for a sample, one row per model kind and class; ''combined'' is the combination. The view contribution has one row per feature.';
comment on column annotator.class_contribution.features is
    'Features with the largest absolute contribution, in descending order.';
comment on column annotator.class_contribution.other_samples is
    'For the combination: contribution of the other samples in the dataset to its logit; null if they are not pooled.';
insert into annotator.class_contribution
select
    c.prediction_id, c.model_kind, min(c.method),
    coalesce(p.models -> 'combined' ->> 'value', p.value, ''), 1,
    array_agg(c.feature order by c.rank), array_agg(c.score order by c.rank),
    array_agg(c.expression order by c.rank)
from annotator.contribution c
join annotator.prediction p using (prediction_id)
group by c.prediction_id, c.model_kind, p.models, p.value;
drop table annotator.contribution;

-- Explanations of a release, and its report.
create table annotator.class_marker (
    release_id      bigint not null references annotator.release on delete cascade,
    class           text not null,
    rank            integer not null check (rank > 0),
    feature         text not null,
    score           double precision not null,
    tree_rank       integer check (tree_rank > 0),
    network_rank    integer check (network_rank > 0),
    stability       double precision check (stability between 0 and 1),
    mean_expression double precision not null check (mean_expression >= 0),
    expression      real[] not null,
    primary key (release_id, class, rank),
    unique (release_id, class, feature)
);
comment on table annotator.class_marker is
    'Features that contribute more to a class than to the others in the combination of a release; rank 1 is the first.';
comment on column annotator.class_marker.score is
    'Mean contribution over the class''s samples to the logit of the class in the combination, minus the mean contribution to the other classes.';
comment on column annotator.class_marker.tree_rank is
    'Rank of the feature for the class by tree SHAP of the forest, computed the same way.';
comment on column annotator.class_marker.network_rank is
    'Rank of the feature for the class by DeepLIFT of the network alone, as in the paper.';
comment on column annotator.class_marker.stability is
    'Share of the models fitted without a part of the datasets that have the feature among the class''s markers, too.';
comment on column annotator.class_marker.mean_expression is
    'Mean reads per million in the class''s samples.';
comment on column annotator.class_marker.expression is
    'Mean reads per million in each class, in the order of the release''s classes.';

create table annotator.class_similarity (
    release_id bigint not null references annotator.release on delete cascade,
    model_kind text not null check (model_kind in ('combined', 'network')),
    class      text not null,
    rival      text,
    samples    integer not null check (samples >= 0),
    changed    integer not null check (changed between 0 and samples),
    mean_steps double precision check (mean_steps >= 1),
    unique nulls not distinct (release_id, model_kind, class, rival),
    check ((changed = 0) = (mean_steps is null))
);
comment on table annotator.class_similarity is
    'How many features must be set to zero, on average over the samples that change, before the rival is predicted for a sample of the class; rival is null for any other class.';
comment on column annotator.class_similarity.model_kind is
    'Model kind of the prediction: the combination (combined), or the network as in the paper.';

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
    'Path of the report of a release, on the host that wrote it; status, judged and confirmed are those in the report.';

-- A sample may have several problems in one state: one may be solved without another updated_at.
alter table annotator.quarantine
    drop constraint quarantine_sample_id_field_release_id_sample_updated_at_key,
    add constraint quarantined_once
        unique nulls not distinct (sample_id, field, release_id, sample_updated_at, code);

-- Reviews: their sample, the number of a correction, and undone reviews.
alter table annotator.review
    add column sample_id text,
    add column field text,
    add column number double precision
        constraint only_corrections_have_a_number check (number is null or decision = 'corrected');
update annotator.review r set sample_id = p.sample_id, field = p.field
from annotator.prediction p where p.prediction_id = r.prediction_id;
alter table annotator.review
    alter column sample_id set not null,
    alter column field set not null;
-- Decisions about a sample are looked up for every row of the queue.
create index review_sample on annotator.review (sample_id, field);
comment on column annotator.review.sample_id is
    'Sample of the prediction; like field, the database fills it in.';
comment on column annotator.review.number is
    'The number that the curator gave (age in years); value is the interval that includes it. Null if a value was given.';

create table annotator.undone_review (
    review_id     bigint primary key,
    prediction_id bigint not null references annotator.prediction,
    decision      annotator.review_decision not null,
    value         text,
    number        double precision,
    note          text,
    reviewer      text not null,
    reviewed_at   timestamptz not null,
    undone_by     text not null default session_user,
    undone_at     timestamptz not null default now(),
    undo_note     text
);
create index undone_review_prediction on annotator.undone_review (prediction_id);
comment on table annotator.undone_review is
    'Decisions that were undone. annotator.review contains those that stand.';

-- The queue: the place of each dataset and field is stored, so that the first rows are found
-- without reading all others. Open samples are looked up when the queue is read.
create table annotator.queue_group (
    dataset_id        text not null,
    field             text not null,
    section           smallint not null check (section in (0, 1)),
    worth             double precision not null,
    open              bigint not null,
    agrees            boolean,
    lowest_confidence double precision,
    best_value        text,
    lineage           text[],
    has_reviews       boolean not null,
    counted_at        timestamptz not null,
    primary key (dataset_id, field)
);
create index queue_group_order on annotator.queue_group (section, worth desc, dataset_id, field);
create index queue_group_field on annotator.queue_group (field, section, worth desc, dataset_id);
create index queue_group_age on annotator.queue_group (counted_at);
comment on table annotator.queue_group is
    'Place of each dataset and field in review_queue. Everything undecided has a row here or in queue_change.';
comment on column annotator.queue_group.section is
    '0: datasets that can be decided with one click; 1: the others, by informativeness.';
comment on column annotator.queue_group.worth is
    'Section 0: open samples times the lowest confidence; section 1: mean informativeness of the open samples. Higher comes first.';
comment on column annotator.queue_group.has_reviews is
    'Whether there are decisions about its samples; if not, they need not be looked up.';

-- Changes only add rows here, so that no transaction waits for another: a counter in
-- queue_group would make daemons and curators wait for its row lock.
create table annotator.queue_change (
    change_id  bigint generated always as identity primary key,
    dataset_id text not null,
    field      text not null
);
create index queue_change_group on annotator.queue_change (dataset_id, field);
comment on table annotator.queue_change is
    'Datasets and fields whose place has to be recomputed; until then review_queue computes it.';
-- This applies to all predictions so far: the next pass of a daemon computes the places.
insert into annotator.queue_change (dataset_id, field)
select p.dataset_id, p.field from annotator.prediction p where p.is_current
group by p.dataset_id, p.field order by p.dataset_id, p.field;

create table annotator.mirror_change (
    change_id bigint generated always as identity primary key,
    sample_id text not null,
    what      text not null check (what in ('label', 'dataset')),
    field     text,
    value     text,
    source    text,
    seen_at   timestamptz not null default clock_timestamp(),
    check ((what = 'label') = (field is not null))
);
create index mirror_change_sample on annotator.mirror_change (sample_id, field, change_id desc);
comment on table annotator.mirror_change is
    'Changes in the mirror of samples with a prediction: a label was added, changed or removed (value is null), or the sample moved to another dataset. seen_at is when a daemon found the change.';

create table annotator.sample_signature (
    sample_id text primary key,
    signature bytea not null
);
comment on table annotator.sample_signature is
    'Digest of the sRNA counts of each imported sample: equal ones are copies of one library.';

-- Other names of ontology terms. An atlas of views that has none gets an empty table, and may
-- put a view in its place.
do $$
begin
    if to_regclass('atlas.term_synonym') is null then
        create table atlas.term_synonym (
            term_id text not null,
            synonym text not null check (synonym <> ''),
            scope   text not null default 'exact' check (scope in (
                'exact', 'alternative_id', 'replaced', 'narrow', 'broad', 'related', 'consider'
            )),
            primary key (term_id, synonym)
        );
        comment on table atlas.term_synonym is
            'Other names and ids of terms. Labels are found by them, too.';
        comment on column atlas.term_synonym.scope is
            'exact, narrow, broad, related: as in OBO; alternative_id: another id; replaced: an obsolete id or name that the term replaces; consider: one that it might replace, by which no label is found.';
        create index term_synonym_key on atlas.term_synonym (annotator.label_key(synonym));
        -- Not from the sequence, which an interrupted migration or a downgrade would not turn back.
        insert into annotator.made_object (made_object_id, kind, name)
        overriding system value values (-2, 'table', 'atlas.term_synonym');
    end if;
    if exists (
        select from annotator.made_object where kind = 'table' and name = 'atlas.term'
    ) then
        alter table atlas.term_synonym add foreign key (term_id) references atlas.term;
        -- Labels are looked up by these.
        create index term_id_key on atlas.term (annotator.label_key(term_id));
        create index term_name_key on atlas.term (annotator.label_key(name));
    end if;
end $$;

-- Names that fit into indexes, as in annotator/domain/values/lengths.py. Rows from before are kept.
do $$
declare
    named record;
begin
    for named in
        select known.relation, known.col
        from (values
            ('dataset', 'dataset_id'), ('sample', 'sample_id'), ('sample', 'organism'),
            ('feature', 'name'), ('annotation', 'value'), ('term', 'term_id'), ('term', 'name'),
            ('term_synonym', 'synonym')
        ) as known (relation, col)
        join annotator.made_object m
            on m.kind = 'table' and m.name = 'atlas.' || known.relation
        join pg_class c on c.oid = to_regclass(m.name) and c.relkind = 'r'
    loop
        execute format(
            'alter table atlas.%I add constraint %I check (octet_length(%I) <= 1000) not valid',
            named.relation, named.col || '_is_short', named.col
        );
    end loop;
end $$;

-- Last, so that none of the changes above fires them.
create trigger name_sample before insert or update on annotator.review
    for each row execute function annotator.name_reviewed_sample();
create trigger queue_insert after insert on annotator.review
    referencing new table as after_change
    for each statement execute function annotator.note_review_change();
create trigger queue_update after update on annotator.review
    referencing old table as before_change new table as after_change
    for each statement execute function annotator.note_review_change();
create trigger queue_delete after delete on annotator.review
    referencing old table as before_change
    for each statement execute function annotator.note_review_change();
create trigger queue_insert after insert on annotator.prediction
    referencing new table as after_change
    for each statement execute function annotator.note_prediction_change();
create trigger queue_update after update on annotator.prediction
    referencing old table as before_change new table as after_change
    for each statement execute function annotator.note_prediction_change();
create trigger queue_delete after delete on annotator.prediction
    referencing old table as before_change
    for each statement execute function annotator.note_prediction_change();
create trigger class_probabilities_fit
    before insert or update of class_probabilities on annotator.prediction
    for each row when (new.class_probabilities is not null)
    execute function annotator.check_class_probabilities();

-- The owner, who may delete rows, may correct them; a daemon only takes the steps that there are.
create trigger only_steps before update on annotator.release for each row when (
    (old.status, new.status) not in (
        ('candidate', 'live'), ('candidate', 'rejected'),
        ('live', 'retired'), ('live', 'rejected'), ('retired', 'live')
    ) and not has_table_privilege('annotator.release', 'delete')
) execute function annotator.refuse_change();
create trigger only_steps before update on annotator.training_run for each row when (
    old.status <> 'running' and (
        (old.status, new.status) <> ('succeeded', 'failed')
        or (old.cohort_id, old.folds, old.finished_at)
            is distinct from (new.cohort_id, new.folds, new.finished_at)
    ) and not has_table_privilege('annotator.training_run', 'delete')
) execute function annotator.refuse_change();
