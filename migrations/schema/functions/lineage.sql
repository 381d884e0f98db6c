create or replace function annotator.lineage(value text) returns text[]
language plpgsql stable cost 10000 set search_path = pg_catalog, pg_temp as $$
declare
    terms text[] := array[coalesce(annotator.find_term(value), value)];
    seen text[] := terms;
    names text[] := '{}';
begin
    -- Level by level, so that a term with many paths to it is visited once.
    while terms is not null loop
        names := names || array(
            select distinct coalesce(t.name::text, one.term) collate "C" as name
            from unnest(terms) as one (term)
            left join atlas.term t on t.term_id = one.term
            where coalesce(t.name::text, one.term) <> all (names)
            order by name
        );
        select array_agg(distinct p.parent_id::text) into terms
        from atlas.term_parent p
        where p.term_id = any (terms) and p.parent_id <> all (seen);
        seen := seen || terms;
    end loop;
    return names;
end $$;
comment on function annotator.lineage(text) is
    'The name of the term that a label means and the names of its ancestors in the imported ontology, nearest first. The label itself if it is no term.';
