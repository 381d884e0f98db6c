create or replace view annotator.dataset_naming as
select
    r.release_id,
    r.field,
    one.dataset_id,
    one.names ->> 'naming' as naming,
    one.names ->> 'mirbase_release' as mirbase_release,
    (one.names ->> 'features')::integer as features,
    (one.names ->> 'renamed')::integer as renamed,
    one.names -> 'not_known' as not_known,
    one.names -> 'species' as species
from annotator.release r
join annotator.training_run t using (run_id)
cross join lateral jsonb_each(t.configuration -> 'naming') as one (dataset_id, names);
comment on view annotator.dataset_naming is
    'One row per release and dataset that it learned from: the convention by which its sRNAs are named.';
comment on column annotator.dataset_naming.renamed is
    'Number of features whose names were replaced by those of the other datasets.';
comment on column annotator.dataset_naming.not_known is
    'Number of names of each convention that cannot be translated into miRNAs.';
