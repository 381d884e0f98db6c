create or replace function annotator.vocabulary(field text) returns table (value text)
language sql stable
begin atomic
    -- Of several spellings, that of a class is returned, then that of a term, then the commonest.
    select distinct on (annotator.label_key(known.value)) known.value
    from (
        select unnest(r.classes) as value, 1 as precedence, 1::bigint as samples
        from annotator.release r
        where r.field = vocabulary.field and r.status = 'live'
        union all
        -- What the field was declared with when its release was made.
        select jsonb_array_elements_text(t.configuration -> 'field' -> 'vocabulary'), 1, 1
        from annotator.release r join annotator.training_run t using (run_id)
        where r.field = vocabulary.field and r.status = 'live'
        union all
        -- What it is declared with now.
        select d.value, 1, 1 from annotator.declared_word d where d.field = vocabulary.field
        union all
        select coalesce(term.name, term.term_id), 2, 1
        from atlas.term
        where annotator.is_ontology_field(vocabulary.field)
        union all
        select k.value, 3, count(*)
        from annotator.known_label k
        where k.field = vocabulary.field and k.numeric_value is null
        group by k.value
    ) known
    order by
        annotator.label_key(known.value), known.precedence, known.samples desc,
        known.value collate "C";
end;
comment on function annotator.vocabulary(text) is
    'The values that a field can have, in one spelling each.';
