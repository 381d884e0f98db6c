create or replace view annotator.class_probability as
select p.prediction_id, one.class, one.probability
from annotator.prediction p
join annotator.release r using (release_id)
-- Ordered within each prediction: an ORDER BY of the whole view would keep the planner from
-- looking up only the predictions that a join needs.
cross join lateral (
    select given.class, given.probability
    from unnest(r.classes, p.class_probabilities)
        with ordinality as given (class, probability, position)
    order by given.probability desc, given.position
) one
where p.class_probabilities is not null;
comment on view annotator.class_probability is
    'One row per prediction and class, with the classes of a prediction most probable first; none for predictions by earlier versions.';
