-- What revision 0003 brought, on top: contributions to the runner-up, and a release's explanations.

insert into annotator.class_contribution
    (prediction_id, model_kind, method, class, class_rank, features, scores, expression)
select prediction_id, 'network', 'method', 'blood', 2, '{hsa-miR-21-5p}', '{-0.5}', '{1000}'
from annotator.prediction where field = 'tissue' and value = 'lung';
insert into annotator.metric (run_id, scheme, model_kind, name, value, samples, datasets)
select run_id, 'cv', 'combined', 'accuracy', 0.75, 30, 2 from annotator.release;
insert into annotator.class_marker (
    release_id, class, rank, feature, score, tree_rank, stability, mean_expression, expression
)
select release_id, class, 1, 'hsa-miR-21-5p', 0.5, 1, 0.9, 100, '{50,100}'
from annotator.release, unnest(classes) as class;
insert into annotator.class_similarity (release_id, class, rival, samples, changed, mean_steps)
select release_id, classes[1], rival, 15, changed, steps
from annotator.release cross join lateral (values
    (null, 10, 3.5), (classes[2], 10, 3.5)
) as given (rival, changed, steps);
insert into annotator.class_enrichment (
    release_id, source, set_name, class, background, set_size, markers, overlap, p_value, q_value,
    features
)
select release_id, 'families', 'let-7', classes[1], 3, 2, 1, 1, 0.5, 0.5, '{hsa-let-7a-5p}'
from annotator.release;
insert into annotator.sample_map (release_id, sample_id, dataset_id, class, x, y)
select release_id, sample_id, 'D1', value, length(sample_id), 0.5
from annotator.release, atlas.annotation where release.field = 'tissue';
insert into annotator.release_report (release_id, status, path, sha256, size, host)
select release_id, status, '/reports/release.html', repeat('0', 64), 1000, 'here'
from annotator.release;
