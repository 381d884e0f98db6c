create or replace function annotator.lineage(value text) returns text[]
language sql stable
begin atomic
    with recursive up (term, depth) as (
        select coalesce(annotator.find_term(lineage.value), lineage.value), 0
        union
        select p.parent_id, up.depth + 1
        from up join atlas.term_parent p on p.term_id = up.term
        where up.depth < 64
    )
    select array_agg(name order by depth, name)
    from (
        select coalesce(t.name, up.term) as name, min(up.depth) as depth
        from up left join atlas.term t on t.term_id = up.term
        group by 1
    ) nearest;
end;
comment on function annotator.lineage(text) is
    'The name of the term that a label means and the names of its ancestors in the imported ontology, nearest first. The label itself if it is no term.';
