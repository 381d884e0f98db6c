create or replace view annotator.curve as
select
    r.release_id,
    r.field,
    r.status::text as status,
    c.scheme,
    c.model_kind,
    c.curve,
    c.position,
    c.x,
    c.y,
    c.samples,
    r.organism
from annotator.release r
join annotator.validation_curve c using (run_id)
order by r.release_id desc, c.scheme, c.model_kind, c.curve, c.position;
comment on view annotator.curve is
    'The reliability curve and the risk-coverage curve of each release.';
