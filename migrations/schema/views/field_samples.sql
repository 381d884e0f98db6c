-- The only counts of current predictions and quarantined samples per field and organism.
create or replace view annotator.field_samples as
select field, organism,
    coalesce(answer.suggested, 0)::bigint as suggested,
    coalesce(answer.abstained, 0)::bigint as abstained,
    coalesce(quarantined.samples, 0) as quarantined
from (
    select r.field, r.organism, sum(p.suggested) as suggested, sum(p.abstained) as abstained
    from (
        -- Counted per release first, from the index alone.
        select p.release_id,
            count(*) filter (where p.status = 'suggested') as suggested,
            count(*) filter (where p.status = 'abstained') as abstained
        from annotator.prediction p
        where p.is_current
        group by p.release_id
    ) p
    join annotator.release r using (release_id)
    group by r.field, r.organism
) answer
full join (
    select q.field, q.organism, count(*) as samples
    from annotator.quarantined_sample q
    group by q.field, q.organism
) quarantined using (field, organism);
comment on view annotator.field_samples is
    'Current suggestions, abstentions and quarantined samples: one row per field and organism.';
