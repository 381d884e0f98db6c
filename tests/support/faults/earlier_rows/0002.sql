-- What 0002 added: something in every table of its own, about the rows of 0001.

insert into annotator.organism_spelling (spelling, organism) values ('human', 'Homo sapiens');
insert into annotator.release_comparison (
    release_id, position, name, compared_with, ours, theirs, margin, passed, samples, datasets,
    sentence
)
select release_id, 1, 'accuracy', 'live', 0.5, 0.75, 0.01, false, 30, 2, 'worse than the live one'
from annotator.release where status = 'rejected';
insert into annotator.release_loading (release_id, process, pid, role, session, deaths)
select release_id, 'here/1/a', 1, 'annotator', 'annotator lock x', 2
from annotator.release where status = 'rejected';
insert into annotator.release_report (release_id, status, path, sha256, size, host)
select release_id, status, '/reports/old.html', repeat('0', 64), 100, 'here'
from annotator.release where status = 'rejected';
insert into annotator.validation_curve
    (run_id, scheme, model_kind, curve, position, x, y, samples)
select run_id, 'one-dataset-out', 'combined', 'reliability', 1, 0.75, 0.5, 30
from annotator.release where status = 'live';
insert into annotator.class_marker
    (release_id, class, rank, feature, score, mean_expression, expression)
select release_id, 'lung', 1, 'hsa-miR-21-5p', 0.5, 1000, '{10,1000}'
from annotator.release where status = 'live';
insert into annotator.class_similarity
    (release_id, model_kind, class, rival, samples, changed, mean_steps)
select release_id, 'combined', 'lung', 'blood', 20, 10, 2.5
from annotator.release where status = 'live';
insert into annotator.class_enrichment
    (release_id, source, set_name, class, background, set_size, markers, overlap, p_value, q_value)
select release_id, 'sets.gmt', 'let-7', 'lung', 3, 2, 1, 1, 0.5, 0.5
from annotator.release where status = 'live';
insert into annotator.sample_map (release_id, sample_id, dataset_id, class, x, y)
select release_id, 's31', 'D1', 'lung', 0.5, 0.25 from annotator.release where status = 'live';
insert into annotator.undone_review
    (review_id, prediction_id, decision, value, reviewer, reviewed_at, undo_note)
select 1000, prediction_id, 'accepted', value, 'grace', now(), 'wrong row'
from annotator.prediction where sample_id = 's12' and not is_current;
insert into annotator.mirror_change (sample_id, what, value) values ('s31', 'dataset', 'D1');
insert into annotator.sample_signature (sample_id, signature) values ('s31', sha256('s31'));
insert into atlas.term_synonym (term_id, synonym) values ('lung', 'pulmo');
select annotator.refresh_queue(1);
