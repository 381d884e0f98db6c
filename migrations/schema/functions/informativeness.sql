create or replace function annotator.informativeness(
    confidence double precision, models jsonb, novelty double precision
)
returns double precision
language sql immutable parallel safe
return (
    (1 - coalesce(confidence, 0)) + annotator.disagreement(models)
    + least(greatest(coalesce(novelty, 0), 0), 1)
) / 3;
