create or replace function annotator.disagreement(models jsonb) returns double precision
language sql immutable parallel safe
begin atomic
    select coalesce(1 - max(named.kinds) / sum(named.kinds), 0)::double precision
    from (
        select count(*) as kinds
        from jsonb_each(disagreement.models) as kind
        where kind.key <> 'combined' and kind.value ->> 'value' is not null
        group by kind.value ->> 'value'
    ) named;
end;
comment on function annotator.disagreement(jsonb) is
    'Share of the model kinds that differ from the majority.';
