-- Made only where the atlas does not bring its own.
create function atlas.feature_expression(name text)
returns table (sample_id text, count real)
language sql stable parallel safe
begin atomic
    select e.sample_id::text, e.counts[array_position(e.feature_ids, f.feature_id)]::real
    from atlas.feature f
    join atlas.expression e on f.feature_id = any (e.feature_ids)
    where f.name = feature_expression.name;
end;
comment on function atlas.feature_expression(text) is
    'The count of one feature in every sample that expresses it.';
