create or replace function annotator.is_ontology_field(field text) returns boolean
language sql stable
begin atomic
    -- As the field was declared for its newest retraining.
    select is_ontology_field.field = 'tissue' or coalesce((
        select t.configuration -> 'field' ->> 'scheme' = 'ontology'
        from annotator.training_run t
        where t.field = is_ontology_field.field and t.configuration ? 'field'
        order by t.run_id desc
        limit 1
    ), false);
end;
comment on function annotator.is_ontology_field(text) is
    'Whether the values of a field are terms of the ontology.';
