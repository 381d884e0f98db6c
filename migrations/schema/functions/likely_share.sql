create or replace function annotator.likely_share(part bigint, whole bigint, z double precision)
returns double precision
language sql immutable
return (
    part + z * z / 2 + z * sqrt(part * (whole - part)::double precision / nullif(whole, 0) + z * z / 4)
) / (whole + z * z);
comment on function annotator.likely_share(bigint, bigint, double precision) is
    'The limit of Wilson''s interval (1927) for a share, at z standard deviations.';
