create or replace function annotator.lineage_keys(value text) returns text[]
language plpgsql stable cost 10000 set search_path = pg_catalog, pg_temp as $$
declare
    keys text[] := array(
        select annotator.label_key(one.term)
        from unnest(annotator.lineage(value)) with ordinality as one (term, place)
        order by one.place
    );
begin
    return keys || array(
        select annotator.label_key(t.term_id::text)
        from atlas.term t where annotator.label_key(t.name::text) = any (keys)
    );
end $$;
comment on function annotator.lineage_keys(text) is
    'The keys of the names in a lineage, nearest first, then those of the ids, which releases of earlier versions predicted.';
