-- The predictions of one release for every sample, with contributions of 20 features to the most
-- probable class. See load.py for the parameters.
with predicted as (
    insert into annotator.prediction (
        sample_id, dataset_id, field, release_id, input_hash, sample_updated_at, value, lineage,
        confidence, status, reason, novelty, models, top_features, prediction_set, set_coverage,
        is_current
    )
    select
        s.sample_id, s.dataset_id, r.field, r.release_id, repeat('0', 64), s.updated_at,
        case when open then null else said end,
        case when open then '{}' else array[said, 'organ'] end,
        case when dice.sure then 0.9 + 0.1 * x else 0.3 + 0.7 * x end,
        (case when open then 'abstained' else 'suggested' end)::annotator.prediction_status,
        case when open then 'no term is sure enough' end, 1 - x,
        jsonb_build_object(
            'combined', jsonb_build_object('value', said, 'probability', x),
            'network', jsonb_build_object('value', said, 'probability', x),
            'forest', jsonb_build_object(
                'value', case when x < 0.3 then 'tissue 0' else said end, 'probability', x),
            'boosting', jsonb_build_object('value', said, 'probability', x),
            'linear', jsonb_build_object(
                'value', case when x < 0.2 then 'tissue 1' else said end, 'probability', x)),
        array['hsa-miR-21-5p', 'hsa-let-7a-5p', 'hsa-miR-122-5p'], array[said], 0.9,
        r.status = 'live'
    from annotator.release r
    cross join atlas.sample s
    cross join lateral (
        select
            abs(hashtext(s.dataset_id || r.field)) %% 10 < 3 as sure,
            (abs(hashtext(s.sample_id || r.field)) %% 1000) / 1000.0 as x
    ) dice
    cross join lateral (
        select
            'tissue ' || case when dice.sure or dice.x < 0.7 then abs(hashtext(s.dataset_id)) %% 30
                else (1000 * dice.x)::integer %% 30 end as said,
            not dice.sure and dice.x < 0.2 as open
    ) said
    where r.release_id = %(release_id)s
    returning prediction_id
)
insert into annotator.class_contribution (
    prediction_id, model_kind, method, class, class_rank, features, scores, expression
)
select
    predicted.prediction_id, kind.name, 'deeplift', 'tissue 1', 1,
    -- Folded to a constant.
    (select array_agg('hsa-miR-' || 100 + i || '-5p') from generate_series(1, 20) i),
    array_fill(0.25::double precision, array[20]), array_fill(812.5::double precision, array[20])
from predicted
cross join unnest((%(kinds)s)::text[]) as kind (name);
