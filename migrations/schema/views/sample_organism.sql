-- The only place where spellings of organisms are resolved. Columns have the types of the atlas.
create or replace view annotator.sample_organism as
select
    s.sample_id,
    s.dataset_id,
    s.updated_at,
    coalesce(o.organism, nullif(s.organism::text, ''), 'Homo sapiens') as organism
from atlas.sample s
left join annotator.organism_spelling o on o.spelling = coalesce(s.organism::text, '');
comment on view annotator.sample_organism is
    'The samples of the mirror with one name per organism, however the mirror writes it.';
