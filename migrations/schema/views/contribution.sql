create or replace view annotator.contribution as
select c.prediction_id, c.model_kind, c.method, c.class, c.class_rank,
    one.rank::integer as rank, one.feature, one.score, one.expression
from annotator.class_contribution c
cross join lateral unnest(c.features, c.scores, c.expression)
    with ordinality as one (feature, score, expression, rank);
comment on view annotator.contribution is
    'Contributions of features to a class for a sample, one row per feature.';
comment on column annotator.contribution.model_kind is
    'A model kind, or ''combined'' for the combination.';
comment on column annotator.contribution.class is 'The class that positive scores support.';
comment on column annotator.contribution.class_rank is
    'Rank of the class by probability for the sample: 1 is the most probable, 2 the runner-up.';
comment on column annotator.contribution.rank is 'Rank by absolute score; 1 is the largest.';
comment on column annotator.contribution.score is
    'Signed: positive scores support the class. Unit: that of the model kind; logit for combined, whose scores are the kinds'' times weight, slope and sharpness.';
comment on column annotator.contribution.expression is 'Reads per million.';
