create or replace function annotator.vocabulary(field text) returns table (value text)
language sql stable
begin atomic
    select distinct known.value
    from (
        select unnest(r.classes) as value
        from annotator.release r
        where r.field = vocabulary.field and r.status = 'live'
        union all
        select k.value from annotator.known_label k
        where k.field = vocabulary.field and k.numeric_value is null
        union all
        -- What the field was declared with when its release was made.
        select jsonb_array_elements_text(t.configuration -> 'field' -> 'vocabulary')
        from annotator.release r join annotator.training_run t using (run_id)
        where r.field = vocabulary.field and r.status = 'live'
        union all
        select term.term_id
        from atlas.term
        where vocabulary.field = 'tissue' or exists (
            select from annotator.release r join annotator.training_run t using (run_id)
            where r.field = vocabulary.field and r.status = 'live'
              and t.configuration -> 'field' ->> 'scheme' = 'ontology'
        )
    ) known;
end;
comment on function annotator.vocabulary(text) is 'The values that a field can have.';
