-- The inverse of annotator.sample_organism: with these in an array, the planner estimates the
-- samples of an organism from the statistics of atlas.sample.
create or replace function annotator.spellings_of(organism text) returns text[]
language sql stable parallel safe
begin atomic
    select array_agg(known.spelling)
    from (
        select spellings_of.organism as spelling
        union all
        select o.spelling from annotator.organism_spelling o
        where o.organism = spellings_of.organism
        union all
        select ''
        where spellings_of.organism = 'Homo sapiens' and not exists (
            select from annotator.organism_spelling o where o.spelling = ''
        )
    ) known;
end;
comment on function annotator.spellings_of(text) is
    'The spellings in atlas.sample that mean an organism; the empty one is a missing organism.';
