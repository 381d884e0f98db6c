-- What an atlas in use holds at revision 0001: something in every table, in every state.
-- s1 to s30 have no tissue: s1 to s26 have a suggestion, s27 is in quarantine, s28 waits, s29 is
-- in hand, s30 was abstained from. s31 to s60 are labelled, half of them with 'blood'.

insert into atlas.dataset (dataset_id, title) values ('D1', 'one'), ('D2', 'two');
insert into atlas.sample (sample_id, dataset_id, attributes)
select 's' || i, case when i % 3 = 0 then 'D2' else 'D1' end, '{"donor": "x"}'
from generate_series(1, 60) as i;
insert into atlas.feature (name, kind) values
    ('hsa-miR-21-5p', 'srna'), ('hsa-let-7a-5p', 'srna'), ('Escherichia coli', 'contaminant');
insert into atlas.expression
select s.sample_id, 3, array_agg(f.feature_id order by f.feature_id),
    array_agg((100 * f.feature_id + length(s.sample_id))::real order by f.feature_id)
from atlas.sample s cross join atlas.feature f group by s.sample_id;
insert into atlas.term values ('organ', 'organ'), ('blood', 'blood'), ('lung', 'lung');
insert into atlas.term_parent values ('blood', 'organ'), ('lung', 'organ');
insert into atlas.annotation (sample_id, field, value, term_id)
select 's' || i, 'tissue', value, value
from generate_series(31, 60) as i
cross join lateral (select case when i % 2 = 0 then 'blood' else 'lung' end as value) given;

insert into annotator.cohort (field, hash, samples, datasets)
values ('tissue', repeat('0', 64), 30, 2);
insert into annotator.cohort_sample
select cohort_id, sample_id, dataset_id, value, value
from annotator.cohort, atlas.annotation join atlas.sample using (sample_id);
insert into annotator.training_run
    (field, preset, seed, host, status, reason, finished_at, cohort_id, configuration, folds)
select 'tissue', 'default', seed, 'here', status::annotator.run_status, reason, finished_at,
    cohort_id, '{"seed": 1}', 'every dataset by itself'
from annotator.cohort cross join (values
    (1, 'succeeded', null, now() - interval '2 days'),
    (2, 'failed', 'no room on the disk', now() - interval '1 day'),
    (3, 'succeeded', null, now() - interval '1 hour'),
    (4, 'succeeded', null, now()),
    (5, 'running', null, null)
) as given (seed, status, reason, finished_at);
insert into annotator.release
    (field, run_id, status, classes, features, reasons, promoted_at, retired_at)
select 'tissue', run_id, given.status::annotator.release_status, '{blood,lung}', 2, given.reasons,
    given.promoted_at, given.retired_at
from annotator.training_run join (values
    (1, 'retired', '{}'::text[], now() - interval '2 days', now() - interval '1 hour'),
    (3, 'live', '{}', now() - interval '1 hour', null),
    (4, 'rejected', '{"On 30 held-out samples, worse"}', null, null)
) as given (seed, status, reasons, promoted_at, retired_at) using (seed)
order by seed;
insert into annotator.artefact (release_id, name, media_type, sha256, size, content)
select release_id, 'model.json', 'application/json', encode(sha256('{}'), 'hex'), 2, '{}'
from annotator.release;
insert into annotator.validation_prediction
    (run_id, sample_id, dataset_id, model_kind, fold, truth, value, probability, probabilities)
select run_id, sample_id, 'D1', 'combined', 0, value, 'lung', 0.75, '{0.25,0.75}'
from annotator.release, atlas.annotation;
insert into annotator.metric (run_id, scheme, model_kind, name, value, samples, datasets)
select run_id, 'one-dataset-out', kind, name, 0.5, 30, 2
from annotator.release, unnest('{combined,network}'::text[]) as kind,
    unnest('{accuracy,balanced_accuracy}'::text[]) as name;

insert into annotator.annotation_run (worker, host, finished_at, predicted, quarantined)
values ('here/1/a', 'here', now(), 27, 1);
insert into annotator.prediction (
    sample_id, dataset_id, field, release_id, input_hash, sample_updated_at, value, lineage,
    confidence, status, reason, novelty, models, top_features, annotation_run_id, is_current
)
select s.sample_id, s.dataset_id, 'tissue', r.release_id, repeat('0', 64), s.updated_at,
    given.value, array[given.value, 'organ'], 0.9, given.status, given.reason, 0.25,
    jsonb_build_object(
        'network', jsonb_build_object('value', given.value, 'probability', 0.9),
        'combined', jsonb_build_object('value', given.value, 'probability', 0.9)
    ),
    '{hsa-miR-21-5p}', annotation_run_id, r.status = 'live'
from annotator.annotation_run, atlas.sample s
cross join lateral (select substr(s.sample_id, 2)::int as i) number
join annotator.release r
    on i <= 26 and r.status = 'live' or i = 30 and r.status = 'live'
    or i between 11 and 15 and r.status = 'retired'
cross join lateral (
    select
        case when r.status = 'retired' then 'blood' else 'lung' end as value,
        case when i = 30 then 'abstained' else 'suggested' end::annotator.prediction_status
            as status,
        case when i = 30 then 'not sure enough' end as reason
) given
order by r.release_id, i;
insert into annotator.contribution
    (prediction_id, model_kind, method, rank, feature, score, expression)
select prediction_id, kind, 'method', rank, name, 1.0 / rank, 1000
from annotator.prediction, unnest('{network,forest}'::text[]) as kind,
    unnest('{hsa-miR-21-5p,hsa-let-7a-5p}'::text[]) with ordinality as given (name, rank);
insert into annotator.quarantine (sample_id, field, sample_updated_at, code, reason)
select sample_id, 'tissue', updated_at, 'no_counts', 'it has no counts'
from atlas.sample where sample_id = 's27';
insert into annotator.work
    (sample_id, dataset_id, field, release_id, sample_updated_at, leased_by, leased_until, attempts)
select s.sample_id, s.dataset_id, 'tissue', release_id, s.updated_at, worker,
    now() + interval '1 hour' + given.no_lease, attempts
from atlas.sample s join annotator.release r on r.status = 'live'
join (values
    ('s28', null, null::interval, 0), ('s29', 'here/1/a', '0', 1)
) as given (sample_id, worker, no_lease, attempts) on given.sample_id = s.sample_id;

select annotator.accept_suggestion(prediction_id, 'fits') from annotator.prediction
where sample_id = 's1';
select annotator.reject_suggestion(prediction_id, 'does not') from annotator.prediction
where sample_id = 's2';
select annotator.correct_suggestion(prediction_id, 'blood', 'is blood') from annotator.prediction
where sample_id = 's3';
insert into annotator.review (prediction_id, decision, note)
select prediction_id, 'rejected', 'not that' from annotator.prediction
where sample_id = 's11' and not is_current;
insert into annotator.event (kind, subject, detail) values ('failure', 'tissue', '{"reason": "x"}');
insert into annotator.heartbeat (worker, host, pid, version, state)
values ('here/1/a', 'here', 1, '0.1', 'idle');
insert into annotator.tick (job, due_at, worker, outcome) values ('retrain', now(), 'w', 'done');
