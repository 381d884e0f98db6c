-- Made only where the atlas does not bring its own. The casts serve atlases whose
-- views have wider types.
create view atlas.expression_long as
select
    e.sample_id::text as sample_id, f.name::text as feature, f.kind::text as kind,
    pair.count::real as count
from atlas.expression e
cross join lateral unnest(e.feature_ids, e.counts) as pair (feature_id, count)
join atlas.feature f using (feature_id);
comment on view atlas.expression_long is 'Expression with one row for every non-zero count.';
