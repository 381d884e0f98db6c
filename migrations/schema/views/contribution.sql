create or replace view annotator.contribution as
select c.prediction_id, c.model_kind, c.method, c.class, c.class_rank,
    one.rank::integer as rank, one.feature, one.score, one.expression
from annotator.class_contribution c
cross join lateral unnest(c.features, c.scores, c.expression)
    with ordinality as one (feature, score, expression, rank);
comment on column annotator.contribution.score is
    'Signed: above zero supports the class. Unit: logit of the class, weighted by the kind''s share for combined.';
comment on column annotator.contribution.expression is 'Reads per million.';
comment on view annotator.contribution is
    'How much each feature spoke for a class of a sample, a row a feature.';
comment on column annotator.contribution.class is
    'The class that the scores speak for (above zero) or against.';
comment on column annotator.contribution.class_rank is
    'How probable the class was for the sample: 1 the winner, 2 the runner-up.';
comment on column annotator.contribution.rank is 'By absolute score, 1 the loudest.';
comment on column annotator.contribution.model_kind is
    'A model kind, or ''combined'' for contributions to the answer itself.';
