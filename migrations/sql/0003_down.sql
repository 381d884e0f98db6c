-- The view of 0002 is made again by the revision itself, from its own file.
drop view annotator.model_card;
drop table
    annotator.release_report, annotator.sample_map, annotator.class_enrichment,
    annotator.class_similarity, annotator.class_marker;
-- Of several schemes only the one of held-out datasets was known.
delete from annotator.metric where scheme = 'cv';
delete from annotator.contribution where class_rank > 1;
alter table annotator.contribution
    drop constraint contribution_pkey,
    drop column class,
    drop column class_rank,
    add primary key (prediction_id, model_kind, rank);
comment on column annotator.contribution.score is
    'Signed: above zero speaks for the value. Unit: logit (network), probability (forest), margin (boosting).';
