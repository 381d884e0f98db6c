create or replace view annotator.contribution as
select c.prediction_id, c.model_kind, c.method, c.class, c.class_rank,
    one.rank::integer as rank, one.feature, one.score, one.expression
from annotator.class_contribution c
cross join lateral unnest(c.features, c.scores, c.expression)
    with ordinality as one (feature, score, expression, rank);
comment on view annotator.contribution is
    'Contributions of features to a class of a sample, one row per feature.';
comment on column annotator.contribution.model_kind is
    'A model kind, or ''combined'' for contributions to the answer itself.';
comment on column annotator.contribution.class is 'The class that scores above zero support.';
comment on column annotator.contribution.class_rank is
    'How probable the class was for the sample: 1 the most probable, 2 the runner-up.';
comment on column annotator.contribution.rank is 'By absolute score, 1 the largest.';
comment on column annotator.contribution.score is
    'Signed: above zero supports the class. Unit: logit of the class, weighted by the kind''s share for combined.';
comment on column annotator.contribution.expression is 'Reads per million.';
