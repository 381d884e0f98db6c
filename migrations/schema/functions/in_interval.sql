create or replace function annotator.in_interval(interval_name text, number double precision) returns boolean
language sql immutable
begin atomic
    select
        (number > part[2]::float8 or part[1] = '[' and number = part[2]::float8)
        and (number < part[3]::float8 or part[4] = ']' and number = part[3]::float8)
    from regexp_match(interval_name, '^([[(])(-?\d+\.?\d*(?:e[+-]?\d+)?);(-?\d+\.?\d*(?:e[+-]?\d+)?)([])])$') as part;
end;
comment on function annotator.in_interval(text, double precision) is
    'Whether an interval such as (45;70] contains a number; null if it is not an interval.';
