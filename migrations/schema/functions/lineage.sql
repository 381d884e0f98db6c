create or replace function annotator.lineage(value text) returns text[]
language sql stable
begin atomic
    with recursive up (term, depth) as (
        select lineage.value, 0
        union
        select p.parent_id, up.depth + 1
        from up join atlas.term_parent p on p.term_id = up.term
        where up.depth < 64
    )
    select array_agg(term order by depth, term)
    from (select term, min(depth) as depth from up group by term) nearest;
end;
comment on function annotator.lineage(text) is
    'A term and its ancestors in the imported ontology, nearest first.';
