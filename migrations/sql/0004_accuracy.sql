-- What became of suggestions: labels that the mirror or a curator gave later, and the story
-- of every sample; and what is watched, without reading whole tables.

-- What is pending or answered is counted from the index alone.
drop index annotator.one_current_prediction;
create unique index one_current_prediction on annotator.prediction (sample_id, field)
    include (release_id, sample_updated_at, status) where is_current;
-- The newest answers of a release, by when their samples came or changed.
create index prediction_recent
    on annotator.prediction (release_id, (coalesce(sample_updated_at, created_at))) where is_current;

create table annotator.mirror_change (
    change_id bigint generated always as identity primary key,
    sample_id text not null,
    what      text not null check (what in ('label', 'dataset')),
    field     text,
    value     text,
    source    text,
    seen_at   timestamptz not null default clock_timestamp(),
    check ((what = 'label') = (field is not null))
);
create index mirror_change_sample on annotator.mirror_change (sample_id, field, change_id desc);
comment on table annotator.mirror_change is
    'Changes that were seen in the mirror of samples with a prediction: a label came, changed or went (value null), the sample moved to another dataset. seen_at is when a daemon looked.';

create function annotator.watch_mirror() returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    seen integer := 0;
    more integer;
begin
    -- One daemon at a time; the others need not wait for it.
    if not pg_try_advisory_xact_lock(hashtextextended('annotator.watch_mirror', 0)) then
        return 0;
    end if;
    with moved as (
        select p.prediction_id, p.sample_id, s.dataset_id::text as dataset_id
        from annotator.prediction p
        join atlas.sample s on s.sample_id = p.sample_id
        where p.is_current and p.dataset_id <> s.dataset_id
        for update of p skip locked
    ), noted as (
        insert into annotator.mirror_change (sample_id, what, value)
        select distinct moved.sample_id, 'dataset', moved.dataset_id from moved
    )
    update annotator.prediction p set dataset_id = moved.dataset_id
    from moved where p.prediction_id = moved.prediction_id;
    get diagnostics seen = row_count;
    insert into annotator.mirror_change (sample_id, what, field, value, source)
    select l.sample_id, 'label', l.field, l.value, l.source
    from (
        select distinct on (a.sample_id, a.field)
            a.sample_id::text as sample_id, a.field::text as field,
            coalesce(nullif(btrim(a.value), ''), a.numeric_value::text) as value,
            a.source::text as source
        from atlas.annotation a
        where (btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN')
          and exists (
              select from annotator.prediction p
              where p.sample_id = a.sample_id and p.field = a.field
          )
        order by a.sample_id, a.field, a.value
    ) l
    where l.value is distinct from (
        select c.value from annotator.mirror_change c
        where c.sample_id = l.sample_id and c.field = l.field
        order by c.change_id desc limit 1
    )
    order by l.sample_id, l.field;
    get diagnostics more = row_count;
    seen := seen + more;
    insert into annotator.mirror_change (sample_id, what, field)
    select last.sample_id, 'label', last.field
    from (
        select distinct on (c.sample_id, c.field) c.sample_id, c.field, c.value
        from annotator.mirror_change c
        where c.what = 'label'
        order by c.sample_id, c.field, c.change_id desc
    ) last
    where last.value is not null and not exists (
        select from atlas.annotation a
        where a.sample_id = last.sample_id and a.field = last.field
          and (btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN')
    )
    order by last.sample_id, last.field;
    get diagnostics more = row_count;
    return seen + more;
end $$;
comment on function annotator.watch_mirror() is
    'Write down what changed in the mirror since the last look; returns how many changes.';

create or replace view annotator.effective_annotation as
with decided as (
    select distinct on (p.sample_id, p.field)
        p.sample_id, p.field, r.value, r.decision::text as source,
        p.prediction_id, p.release_id, p.confidence,
        r.review_id, r.reviewer, r.reviewed_at, r.note
    from annotator.review r
    join annotator.prediction p using (prediction_id)
    where r.decision in ('accepted', 'corrected')
    order by p.sample_id, p.field, r.review_id desc
)
select
    a.sample_id,
    a.field,
    coalesce(nullif(btrim(a.value), ''), a.numeric_value::text) as value,
    a.source,
    'mirror' as origin,
    null::bigint as review_id,
    null::text as reviewer,
    null::timestamptz as reviewed_at,
    null::text as note,
    null::bigint as prediction_id,
    null::bigint as release_id,
    null::double precision as confidence
from atlas.annotation a
where btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN'
union all
select
    d.sample_id, d.field, d.value, d.source, 'review', d.review_id, d.reviewer, d.reviewed_at,
    d.note, d.prediction_id, d.release_id, d.confidence
from decided d
where not exists (
    select from atlas.annotation a
    where a.sample_id = d.sample_id and a.field = d.field
      and (btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN')
);
comment on column annotator.effective_annotation.origin is
    'mirror: curated there, whatever was decided here; review: accepted or corrected by reviewer.';

create function annotator.in_interval(interval_name text, number double precision) returns boolean
language sql immutable
begin atomic
    select
        (number > part[2]::float8 or part[1] = '[' and number = part[2]::float8)
        and (number < part[3]::float8 or part[4] = ']' and number = part[3]::float8)
    from regexp_match(interval_name, '^([[(])(\d+\.?\d*);(\d+\.?\d*)([])])$') as part;
end;
comment on function annotator.in_interval(text, double precision) is
    'Whether an interval such as (45;70] holds a number; null where it is no interval.';

create view annotator.judged_suggestion as
-- Not materialized: of one release and field, only its labels are looked at.
with label as not materialized (
    select
        a.sample_id::text as sample_id, a.field::text as field,
        coalesce(nullif(btrim(a.value), ''), a.numeric_value::text) as value,
        coalesce(
            nullif(a.numeric_value::float8, 'NaN'),
            case when btrim(a.value) ~ '^\d+\.?\d*$' then btrim(a.value)::float8 end
        ) as number,
        'mirror' as origin
    from atlas.annotation a
    where btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN'
    union all
    select r.sample_id, r.field, r.value, null, 'review'
    from annotator.review r
    where r.decision in ('accepted', 'corrected')
      and not exists (
          select from atlas.annotation a
          where a.sample_id = r.sample_id and a.field = r.field
            and (btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN')
      )
), line as not materialized (
    select given.field, given.value, annotator.lineage(given.value) as lineage
    from (select distinct l.field, l.value from label l where l.number is null) given
), compared as (
    select
        p.prediction_id, p.release_id, p.sample_id, p.field, p.value, p.confidence,
        l.value as label, l.origin,
        case
            when l.number is not null and annotator.in_interval(p.value, l.number) is not null
                then annotator.in_interval(p.value, l.number)
            when lower(btrim(p.value)) = lower(l.value) then true
            when p.value = any (line.lineage) then true
            -- A label that is broader than the suggestion, or an interval that is cut
            -- otherwise, neither confirms nor contradicts it.
            when l.value = any (p.lineage[2:]) then null
            when annotator.in_interval(p.value, 0) is not null
                and annotator.in_interval(l.value, 0) is not null then null
            else false
        end as is_right
    from label l
    join annotator.prediction p on p.sample_id = l.sample_id and p.field = l.field
    left join line on line.field = l.field and line.value = l.value
    where p.status = 'suggested'
    union all
    -- A value that was rejected is wrong, whichever release said it.
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
-- What a release has learned from is no test of it, as after undo_review.
where not exists (
    select from annotator.learned_sample learned
    where learned.release_id = c.release_id and learned.sample_id = c.sample_id
)
order by c.release_id, c.field, c.sample_id, c.prediction_id desc, c.is_right;
comment on view annotator.judged_suggestion is
    'Suggestions whose sample got a label later, in the mirror or by a review, and whether they were right; is_right is null where the label is broader and says neither. The newest of each release and sample; none of samples that the release has learned from.';

create function annotator.likely_share(part bigint, whole bigint, z double precision)
returns double precision
language sql immutable
return (
    part + z * z / 2 + z * sqrt(part * (whole - part)::double precision / nullif(whole, 0) + z * z / 4)
) / (whole + z * z);
comment on function annotator.likely_share(bigint, bigint, double precision) is
    'The end of Wilson''s interval (1927) of a share at z standard deviations.';

create view annotator.live_accuracy as
select
    r.release_id,
    r.field,
    r.status::text as status,
    f.judged,
    f.confirmed,
    f.contradicted,
    f.confirmed::double precision / nullif(f.judged, 0) as accuracy,
    annotator.likely_share(f.confirmed, f.judged, -1.96) as lowest,
    annotator.likely_share(f.confirmed, f.judged, 1.96) as highest,
    f.undecided,
    f.by_mirror,
    f.by_review
from annotator.release r
join (
    select
        j.release_id,
        j.field,
        count(j.is_right) as judged,
        count(*) filter (where j.is_right) as confirmed,
        count(*) filter (where not j.is_right) as contradicted,
        count(*) filter (where j.is_right is null) as undecided,
        count(j.is_right) filter (where j.origin = 'mirror') as by_mirror,
        count(j.is_right) filter (where j.origin = 'review') as by_review
    from annotator.judged_suggestion j
    group by j.release_id, j.field
) f using (release_id, field)
order by r.field, r.release_id desc;
comment on view annotator.live_accuracy is
    'How often the suggestions of each release were right, by labels that came later. A suggestion is right if it is the label or a broader term of it.';
comment on column annotator.live_accuracy.lowest is
    'Of the 95 % interval of accuracy (Wilson 1927), as is highest; samples of one dataset are alike, so the truth may lie outside more often.';
comment on column annotator.live_accuracy.undecided is
    'Labels that are broader than the suggestion, or intervals cut otherwise: they say neither and are not in judged.';

create function annotator.annotation_history(sample_id text)
returns table (at timestamptz, what text, field text, value text, by text, detail jsonb)
language sql stable
begin atomic
    select h.at, h.what, h.field, h.value, h.by, jsonb_strip_nulls(h.detail)
    from (
        select
            p.created_at as at, p.status::text as what, p.field, p.value,
            'release ' || p.release_id as by,
            jsonb_build_object(
                'prediction_id', p.prediction_id, 'confidence', p.confidence, 'reason', p.reason,
                'dataset_id', p.dataset_id, 'current', p.is_current) as detail,
            p.prediction_id as place
        from annotator.prediction p
        where p.sample_id = annotation_history.sample_id
        union all
        select
            r.reviewed_at, r.decision::text, p.field, r.value, r.reviewer,
            jsonb_build_object(
                'review_id', r.review_id, 'prediction_id', r.prediction_id, 'note', r.note),
            r.review_id
        from annotator.review r join annotator.prediction p using (prediction_id)
        where p.sample_id = annotation_history.sample_id
        union all
        select
            u.reviewed_at, u.decision::text, p.field, u.value, u.reviewer,
            jsonb_build_object(
                'review_id', u.review_id, 'prediction_id', u.prediction_id, 'note', u.note),
            u.review_id
        from annotator.undone_review u join annotator.prediction p using (prediction_id)
        where p.sample_id = annotation_history.sample_id
        union all
        select
            u.undone_at, 'review undone', p.field, u.value, u.undone_by,
            jsonb_build_object(
                'review_id', u.review_id, 'prediction_id', u.prediction_id, 'note', u.undo_note),
            u.review_id
        from annotator.undone_review u join annotator.prediction p using (prediction_id)
        where p.sample_id = annotation_history.sample_id
        union all
        select
            q.created_at, 'quarantined', q.field, null, 'release ' || q.release_id,
            jsonb_build_object('code', q.code, 'reason', q.reason), q.quarantine_id
        from annotator.quarantine q
        where q.sample_id = annotation_history.sample_id
        union all
        select
            c.seen_at,
            case when c.what = 'dataset' then 'moved to dataset'
                when c.value is null then 'label removed' else 'labelled' end,
            c.field, c.value, coalesce('mirror: ' || c.source, 'mirror'), '{}', c.change_id
        from annotator.mirror_change c
        where c.sample_id = annotation_history.sample_id
        union all
        -- Labels that nobody watched coming: they were there first, or came just now.
        select
            null, 'labelled', a.field::text,
            coalesce(nullif(btrim(a.value), ''), a.numeric_value::text), 'mirror: ' || a.source,
            '{}', 0
        from atlas.annotation a
        where a.sample_id = annotation_history.sample_id
          and (btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN')
          and coalesce(nullif(btrim(a.value), ''), a.numeric_value::text) is distinct from (
              select c.value from annotator.mirror_change c
              where c.sample_id = a.sample_id and c.field = a.field
              order by c.change_id desc limit 1
          )
    ) h
    order by h.at nulls first, h.place, h.field;
end;
comment on function annotator.annotation_history(text) is
    'Everything that happened to a sample, oldest first: what releases said, what was decided and taken back, what changed in the mirror. Labels that were in the mirror before anybody watched have no time.';

create or replace view annotator.model_card as
select
    r.release_id,
    r.field,
    r.status::text as status,
    t.preset,
    r.classes,
    r.features,
    c.samples,
    c.datasets,
    c.hash as cohort_hash,
    t.configuration_hash,
    t.configuration,
    t.seed,
    t.versions,
    t.host,
    t.folds,
    t.finished_at - t.started_at as duration,
    figure.accuracy,
    figure.balanced_accuracy,
    figure.mean_over_datasets,
    figure.mean_over_classes,
    figure.held_out_samples,
    figure.held_out_datasets,
    figure.by_kind,
    r.reasons,
    r.created_at,
    r.promoted_at,
    r.retired_at,
    figure.precision,
    figure.answered,
    figure.prediction_set_coverage,
    figure.expected_calibration_error,
    figure.auc,
    report.path as report,
    live.judged as live_judged,
    live.accuracy as live_accuracy
from annotator.release r
join annotator.training_run t using (run_id)
left join annotator.cohort c using (cohort_id)
left join annotator.release_report report using (release_id)
left join annotator.live_accuracy live using (release_id)
left join lateral (
    select
        max(m.value) filter (where m.model_kind = 'combined' and m.name = 'accuracy') as accuracy,
        max(m.value) filter (where m.model_kind = 'combined' and m.name = 'balanced_accuracy')
            as balanced_accuracy,
        max(m.value) filter (where m.model_kind = 'combined' and m.name = 'mean_over_datasets')
            as mean_over_datasets,
        max(m.value) filter (where m.model_kind = 'combined' and m.name = 'mean_over_classes')
            as mean_over_classes,
        max(m.samples) filter (where m.model_kind = 'combined' and m.name = 'accuracy')
            as held_out_samples,
        max(m.datasets) filter (where m.model_kind = 'combined' and m.name = 'accuracy')
            as held_out_datasets,
        jsonb_object_agg(m.model_kind, m.value) filter (where m.name = 'accuracy') as by_kind,
        max(m.value) filter (where m.model_kind = 'combined' and m.name = 'precision') as precision,
        max(m.value) filter (where m.model_kind = 'combined' and m.name = 'answered') as answered,
        max(m.value) filter (where m.model_kind = 'combined' and m.name = 'prediction_set_coverage')
            as prediction_set_coverage,
        max(m.value) filter (where m.model_kind = 'combined' and m.name = 'expected_calibration_error')
            as expected_calibration_error,
        max(m.value) filter (where m.model_kind = 'combined' and m.name = 'auc') as auc
    from annotator.metric m
    where m.run_id = r.run_id and m.class = '' and m.scheme <> 'cv'
) figure on true;
comment on column annotator.model_card.live_accuracy is
    'As in annotator.live_accuracy; null where no suggestion of the release has been judged yet.';
