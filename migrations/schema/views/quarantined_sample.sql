-- The only definition of a sample that is quarantined in its present state.
create or replace view annotator.quarantined_sample as
select q.field, s.organism, q.sample_id
from annotator.quarantine q
join annotator.sample_organism s
    on s.sample_id = q.sample_id and s.updated_at is not distinct from q.sample_updated_at
left join annotator.release live
    on live.status = 'live' and live.field = q.field and live.organism = s.organism
where q.release_id is null or q.release_id = live.release_id
group by q.field, s.organism, q.sample_id
-- Some problems can be solved without a change of updated_at.
having count(*) filter (where q.code = 'repeated_sample') > 1 or bool_or(
    case q.code
        when 'repeated_sample' then false
        when 'no_dataset' then
            coalesce(s.dataset_id, '') = '' or octet_length(s.dataset_id::text) > 1000
        when 'contradicting_labels' then (
            select count(*) from annotator.known_label k
            where k.sample_id = q.sample_id and k.field = q.field
        ) > 1
        else true
    end
);
comment on view annotator.quarantined_sample is
    'Samples that are quarantined in their present state: one row per sample and field.';
