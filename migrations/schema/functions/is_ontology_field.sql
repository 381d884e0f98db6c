create or replace function annotator.is_ontology_field(field text) returns boolean
language sql stable
begin atomic
    select is_ontology_field.field = 'tissue' or exists (
        select from annotator.release r join annotator.training_run t using (run_id)
        where r.field = is_ontology_field.field and r.status = 'live'
          and t.configuration -> 'field' ->> 'scheme' = 'ontology'
    );
end;
comment on function annotator.is_ontology_field(text) is
    'Whether the values of a field are terms of the ontology.';
