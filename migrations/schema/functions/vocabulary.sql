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
        select t.term_id from atlas.term t where vocabulary.field = 'tissue'
    ) known;
end;
comment on function annotator.vocabulary(text) is 'The values that a field can have.';
