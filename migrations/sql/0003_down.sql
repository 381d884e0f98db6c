-- The view of 0002 is made again by the revision itself, from its own file.
drop view annotator.model_card;
drop table
    annotator.release_report, annotator.sample_map, annotator.class_enrichment,
    annotator.class_similarity, annotator.class_marker;
-- Of several schemes only the one of held-out datasets was known.
delete from annotator.metric where scheme = 'cv';
-- Contributions to the most probable class, a row a feature again.
create temporary table first_class on commit drop as
select prediction_id, model_kind, method, rank, feature, score, expression
from annotator.contribution where class_rank = 1;
drop view annotator.contribution;
drop table annotator.class_contribution;
create table annotator.contribution (
    prediction_id bigint not null references annotator.prediction on delete cascade,
    model_kind    text not null,
    method        text not null,
    rank          integer not null check (rank > 0),
    feature       text not null,
    score         double precision not null,
    expression    double precision not null,
    primary key (prediction_id, model_kind, rank)
);
comment on column annotator.contribution.score is
    'Signed: above zero speaks for the value. Unit: logit (network), probability (forest), margin (boosting).';
comment on column annotator.contribution.expression is 'Reads per million.';
insert into annotator.contribution select * from first_class;
drop table first_class;
