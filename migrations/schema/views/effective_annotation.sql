create or replace view annotator.effective_annotation as
with decided as (
    select distinct on (p.sample_id, p.field)
        p.sample_id, p.field, r.value, r.decision::text as source,
        p.prediction_id, p.release_id, p.confidence,
        r.number, r.review_id, r.reviewer, r.reviewed_at, r.note
    from annotator.review r
    join annotator.prediction p using (prediction_id)
    where r.decision in ('accepted', 'corrected')
    order by p.sample_id, p.field, r.review_id desc
)
select
    k.sample_id,
    k.field,
    k.value,
    k.source,
    'mirror' as origin,
    null::bigint as review_id,
    null::text as reviewer,
    null::timestamptz as reviewed_at,
    null::text as note,
    null::bigint as prediction_id,
    null::bigint as release_id,
    null::double precision as confidence,
    k.numeric_value,
    k.term_id::text as term_id
from annotator.known_label k
union all
select
    d.sample_id, d.field, d.value, d.source, 'review', d.review_id, d.reviewer, d.reviewed_at,
    d.note, d.prediction_id, d.release_id, d.confidence, d.number,
    case when annotator.is_ontology_field(d.field) then annotator.find_term(d.value) end
from decided d
where not exists (
    select from annotator.known_label k
    where k.sample_id = d.sample_id and k.field = d.field
);
comment on view annotator.effective_annotation is
    'Curated values of the mirror, else values that a curator accepted or corrected. Words for a missing value are not values.';
comment on column annotator.effective_annotation.origin is
    'mirror: curated there, whatever the decisions here; review: accepted or corrected by reviewer.';
comment on column annotator.effective_annotation.numeric_value is
    'The number behind the value, if there is one: that of the mirror or of a correction.';
comment on column annotator.effective_annotation.term_id is
    'The id of the term that the value means, if there is one.';
