create or replace view annotator.judged_suggestion as
-- Not materialized, so that only labels of the release and field asked for are read.
with label as not materialized (
    select
        k.sample_id::text as sample_id, k.field::text as field, k.value,
        coalesce(
            k.numeric_value, case when k.value ~ '^\d+\.?\d*$' then k.value::float8 end
        ) as number,
        'mirror' as origin
    from annotator.known_label k
    union all
    select r.sample_id, r.field, r.value, r.number, 'review'
    from annotator.review r
    where r.decision in ('accepted', 'corrected')
      and not exists (
          select from annotator.known_label k
          where k.sample_id = r.sample_id and k.field = r.field
      )
), spelling as materialized (
    -- Values and synonyms of categories, as the release was declared with them.
    select r.release_id, annotator.label_key(given.spelling) as spelling, given.value
    from annotator.release r
    join annotator.training_run t using (run_id)
    cross join lateral (
        select s.key as spelling, s.value
        from jsonb_each_text(t.configuration -> 'field' -> 'synonyms') as s
        union
        select v.value, v.value
        from jsonb_array_elements_text(t.configuration -> 'field' -> 'vocabulary') as v
    ) given
    where t.configuration -> 'field' ->> 'scheme' = 'categories'
), compared as (
    select
        p.prediction_id, p.release_id, p.sample_id, p.field, p.value, p.confidence,
        l.value as label, l.origin,
        case
            when l.number is not null and annotator.in_interval(p.value, l.number) is not null
                then annotator.in_interval(p.value, l.number)
            when annotator.label_key(p.value) = annotator.label_key(l.value) then true
            when annotator.label_key(p.value) = any (line.keys) then true
            -- A label that is broader than the suggestion, or an interval with other
            -- limits, neither confirms nor contradicts it.
            when exists (
                select from unnest(p.lineage[2:]) as above (term)
                where annotator.label_key(above.term) = line.keys[1]
            ) then null
            -- Neither does a label that only the program understands, such as "35 years".
            when annotator.in_interval(p.value, 0) is not null then null
            when spelled.value is not null then p.value = spelled.value
            when p.value in (
                select s.value from spelling s where s.release_id = p.release_id
            ) then null
            else false
        end as is_right
    from label l
    join annotator.prediction p on p.sample_id = l.sample_id and p.field = l.field
    -- At most once per judged suggestion, and not for those that are the label itself.
    left join lateral (
        select annotator.lineage_keys(l.value) as keys
        where annotator.label_key(p.value) <> annotator.label_key(l.value)
        offset 0
    ) line on l.number is null
    left join spelling spelled
        on spelled.release_id = p.release_id and spelled.spelling = annotator.label_key(l.value)
    where p.status = 'suggested'
    union all
    -- A rejected value is wrong, whichever release predicted it.
    select
        p.prediction_id, p.release_id, p.sample_id, p.field, p.value, p.confidence,
        null, 'review', false
    from annotator.review r
    join annotator.prediction rejected using (prediction_id)
    join annotator.prediction p
        on p.sample_id = r.sample_id and p.field = r.field and p.value = rejected.value
    where r.decision = 'rejected' and p.status = 'suggested'
      and not exists (
          select from label l where l.sample_id = p.sample_id and l.field = p.field
      )
)
select distinct on (c.release_id, c.field, c.sample_id)
    c.prediction_id, c.release_id, c.field, c.sample_id, c.value, c.confidence, c.label,
    c.origin, c.is_right
from compared c
-- Samples that a release has learned from do not test it; undo_review can reopen such samples.
where not exists (
    select from annotator.learned_sample learned
    where learned.release_id = c.release_id and learned.sample_id = c.sample_id
)
order by c.release_id, c.field, c.sample_id, c.prediction_id desc, c.is_right;
comment on view annotator.judged_suggestion is
    'Suggestions whose sample got a label later, in the mirror or by a review, and whether they were right; is_right is null if the label is broader and decides nothing. Contains the newest suggestion per release, field and sample, and none for samples that the release has learned from.';
