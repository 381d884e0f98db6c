create or replace function annotator.shared_trigrams(a text, b text) returns double precision
language sql immutable
begin atomic
    with
        of_a as (select distinct substr('  ' || a || ' ', i, 3) as gram
                 from generate_series(1, length(a) + 1) i),
        of_b as (select distinct substr('  ' || b || ' ', i, 3) as gram
                 from generate_series(1, length(b) + 1) i)
    select (select count(*) from of_a join of_b using (gram))::double precision
         / greatest(1, (select count(*) from (select gram from of_a union select gram from of_b) u));
end;
