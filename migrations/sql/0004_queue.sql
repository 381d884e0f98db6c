-- The order of the queue is kept by dataset and field, so that its first rows are found
-- without looking at all the others. What stands in queue_group decides about the order
-- alone: which samples are open, and every figure that is shown, is looked up when asked.

create table annotator.queue_group (
    dataset_id text not null,
    field      text not null,
    section    smallint not null check (section in (0, 1)),
    worth      double precision not null,
    release_id bigint,
    counted_at timestamptz not null default clock_timestamp(),
    primary key (dataset_id, field)
);
create index queue_group_order on annotator.queue_group (section, worth desc, dataset_id, field);
create index queue_group_age on annotator.queue_group (counted_at);
comment on table annotator.queue_group is
    'Where each dataset and field stands in review_queue. There is a row, or one in queue_change, for everything that is not decided.';
comment on column annotator.queue_group.section is
    '0: one click settles the whole dataset; 1: informative ones.';
comment on column annotator.queue_group.worth is
    'Section 0: open samples times the lowest confidence; section 1: mean informativeness. Higher comes first.';
comment on column annotator.queue_group.release_id is
    'The newest release that the open suggestions are of; null where none is open.';

-- Only ever added to by whoever changes something, so that nobody waits for anybody:
-- a counter in queue_group would make daemons and curators queue up behind its row lock.
create table annotator.queue_change (
    change_id  bigint generated always as identity primary key,
    dataset_id text not null,
    field      text not null
);
create index queue_change_group on annotator.queue_change (dataset_id, field);
comment on table annotator.queue_change is
    'Datasets and fields whose place has to be worked out anew; until then review_queue does that itself.';

create function annotator.note_prediction_change() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op in ('INSERT', 'UPDATE') then
        insert into annotator.queue_change (dataset_id, field)
        select distinct a.dataset_id, a.field from after_change a;
    end if;
    if tg_op in ('DELETE', 'UPDATE') then
        insert into annotator.queue_change (dataset_id, field)
        select distinct b.dataset_id, b.field from before_change b;
    end if;
    return null;
end $$;
create trigger queue_insert after insert on annotator.prediction
    referencing new table as after_change
    for each statement execute function annotator.note_prediction_change();
create trigger queue_update after update on annotator.prediction
    referencing old table as before_change new table as after_change
    for each statement execute function annotator.note_prediction_change();
create trigger queue_delete after delete on annotator.prediction
    referencing old table as before_change
    for each statement execute function annotator.note_prediction_change();

create function annotator.note_review_change() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op in ('INSERT', 'UPDATE') then
        insert into annotator.queue_change (dataset_id, field)
        select distinct p.dataset_id, p.field
        from after_change a join annotator.prediction p using (prediction_id);
    end if;
    if tg_op in ('DELETE', 'UPDATE') then
        insert into annotator.queue_change (dataset_id, field)
        select distinct p.dataset_id, p.field
        from before_change b join annotator.prediction p using (prediction_id);
    end if;
    return null;
end $$;
create trigger queue_insert after insert on annotator.review
    referencing new table as after_change
    for each statement execute function annotator.note_review_change();
create trigger queue_update after update on annotator.review
    referencing old table as before_change new table as after_change
    for each statement execute function annotator.note_review_change();
create trigger queue_delete after delete on annotator.review
    referencing old table as before_change
    for each statement execute function annotator.note_review_change();

create view annotator.queue_member as
select
    m.*,
    ((1 - coalesce(m.confidence, 0)) + m.disagreement + least(greatest(coalesce(m.novelty, 0), 0), 1))
        / 3 as informativeness
from (
    select
        p.prediction_id,
        p.sample_id,
        p.dataset_id,
        p.field,
        p.release_id,
        p.status,
        p.confidence,
        p.novelty,
        coalesce(r.value, p.value) as value,
        coalesce(r.value, p.value, p.models -> 'combined' ->> 'value') as best_value,
        case when r.decision = 'corrected' then annotator.lineage(r.value) else p.lineage end
            as lineage,
        r.decision in ('accepted', 'corrected') as is_decided,
        coalesce(r.decision = 'rejected', exists (
            select from annotator.prediction old
            join annotator.review earlier using (prediction_id)
            where old.sample_id = p.sample_id and old.field = p.field
              and old.prediction_id <> p.prediction_id
              and earlier.decision = 'rejected' and old.value = p.value
        )) as is_rejected,
        (select coalesce(1 - max(named.kinds) / sum(named.kinds), 0)::double precision
         from (
             select count(*) as kinds
             from jsonb_each(p.models) as kind
             where kind.key <> 'combined' and kind.value ->> 'value' is not null
             group by kind.value ->> 'value'
         ) named) as disagreement,
        r.review_id is null
            -- The answer of a release that was replaced since can no longer be decided on.
            and not exists (
                select from annotator.release live
                where live.field = p.field and live.status = 'live'
                  and live.release_id <> p.release_id
            )
            and not exists (
                select from atlas.annotation a
                where a.sample_id = p.sample_id and a.field = p.field
                  and (btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN')
            )
            and not exists (
                select from annotator.prediction other
                join annotator.review decided using (prediction_id)
                where other.sample_id = p.sample_id and other.field = p.field
                  and decided.decision in ('accepted', 'corrected')
            ) as is_unanswered
    from annotator.prediction p
    left join annotator.review r using (prediction_id)
    left join atlas.sample s on s.sample_id = p.sample_id
    where p.is_current
      and (
          r.review_id is not null
          or s.sample_id is not null
          and extract(epoch from p.sample_updated_at)
              is not distinct from extract(epoch from s.updated_at)
      )
) m;
comment on view annotator.queue_member is
    'What the queue is made of: the current answers, whether they are open (is_unanswered and not is_rejected), and how much a look at them would tell.';

create function annotator.queue_figure(dataset_id text, field text)
returns table (section smallint, worth double precision, release_id bigint, open bigint)
language sql stable
begin atomic
    select
        case when f.one_click then 0 else 1 end::smallint,
        coalesce(case when f.one_click then f.open * f.lowest else f.informativeness end, 0),
        f.release_id,
        f.open
    from (
        select
            count(*) filter (where m.is_unanswered) as open,
            count(*) filter (where m.is_unanswered and m.status = 'suggested' and m.confidence >= 0.8)
                = count(*) filter (where m.is_unanswered)
                and min(m.best_value) filter (where m.is_unanswered or m.is_decided)
                  = max(m.best_value) filter (where m.is_unanswered or m.is_decided) as one_click,
            min(m.confidence) filter (where m.is_unanswered) as lowest,
            avg(m.informativeness) filter (where m.is_unanswered) as informativeness,
            max(m.release_id) filter (where m.is_unanswered) as release_id
        from annotator.queue_member m
        where m.dataset_id = queue_figure.dataset_id and m.field = queue_figure.field
          and not m.is_rejected
    ) f;
end;
comment on function annotator.queue_figure(text, text) is
    'The place of a dataset and field in review_queue as things are now.';

create function annotator.count_groups(datasets text[], fields text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- The caller holds the lock of each group: see lock_groups.
    delete from annotator.queue_change c
    using unnest(count_groups.datasets, count_groups.fields) as given (dataset_id, field)
    where c.dataset_id = given.dataset_id and c.field = given.field;
    insert into annotator.queue_group (dataset_id, field, section, worth, release_id)
    select given.dataset_id, given.field, f.section, f.worth, f.release_id
    from unnest(count_groups.datasets, count_groups.fields) as given (dataset_id, field)
    cross join lateral annotator.queue_figure(given.dataset_id, given.field) f
    on conflict (dataset_id, field) do update set
        section = excluded.section, worth = excluded.worth, release_id = excluded.release_id,
        counted_at = excluded.counted_at;
    -- What only the mirror settles at present stays: it may take its labels back.
    delete from annotator.queue_group g
    using unnest(count_groups.datasets, count_groups.fields) as given (dataset_id, field)
    where g.dataset_id = given.dataset_id and g.field = given.field
      and g.release_id is null
      and not exists (
          select from annotator.prediction p
          where p.dataset_id = g.dataset_id and p.field = g.field and p.is_current
            and not exists (
                select from annotator.review r where r.prediction_id = p.prediction_id
            )
      );
end $$;

create function annotator.lock_group(dataset_id text, field text) returns boolean
language sql volatile
begin atomic
    -- Nobody waits: who does not get it leaves the group to whoever has it or comes next.
    select pg_try_advisory_xact_lock(
        hashtextextended('annotator.queue.' || lock_group.field || ' ' || lock_group.dataset_id, 0));
end;

create function annotator.recount_group(dataset_id text, field text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- In other isolation levels it would count what was, not what is.
    if current_setting('transaction_isolation') = 'read committed'
       and annotator.lock_group(recount_group.dataset_id, recount_group.field) then
        perform annotator.count_groups(
            array[recount_group.dataset_id], array[recount_group.field]);
    end if;
end $$;

create function annotator.refresh_queue(groups integer default 200) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    datasets text[];
    fields text[];
begin
    select array_agg(due.dataset_id), array_agg(due.field) into datasets, fields
    from (
        select distinct c.dataset_id, c.field from annotator.queue_change c
        order by 1, 2 limit refresh_queue.groups
    ) due
    where annotator.lock_group(due.dataset_id, due.field);
    if datasets is null then
        return 0;
    end if;
    perform annotator.count_groups(datasets, fields);
    return cardinality(datasets);
end $$;
comment on function annotator.refresh_queue(integer) is
    'Work out the places of so many datasets and fields that changed; returns how many were done.';

create function annotator.recheck_queue(groups integer default 200) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    datasets text[];
    fields text[];
begin
    select array_agg(due.dataset_id), array_agg(due.field) into datasets, fields
    from (
        select g.dataset_id, g.field from annotator.queue_group g
        where g.counted_at < clock_timestamp() - interval '10 minutes'
        order by g.counted_at limit recheck_queue.groups
    ) due
    where annotator.lock_group(due.dataset_id, due.field);
    if datasets is null then
        return 0;
    end if;
    perform annotator.count_groups(datasets, fields);
    return cardinality(datasets);
end $$;
comment on function annotator.recheck_queue(integer) is
    'Work out the places that are oldest anew: the mirror changes without telling.';

-- What is there already takes its place.
insert into annotator.queue_change (dataset_id, field)
select distinct p.dataset_id, p.field from annotator.prediction p where p.is_current;

create or replace view annotator.review_queue as
with newest as (
    select distinct on (r.field) r.release_id, r.field, r.status, r.reasons, r.created_at
    from annotator.release r
    where r.status <> 'candidate'
    order by r.field, r.release_id desc
), refused as (
    select
        n.release_id, n.field, n.created_at,
        'no reliable model: '
            || left(coalesce(said.failed, said.everything, 'it was rejected'), 500) as reason
    from newest n
    cross join lateral (
        -- The gate gives a sentence for every comparison; those it failed say so.
        select
            string_agg(brief.words, '; ' order by brief.place)
                filter (where brief.sentence ~ '^Refused|, and is not\)') as failed,
            string_agg(brief.words, '; ' order by brief.place) as everything
        from (
            select
                sentence, place,
                regexp_replace(
                    sentence,
                    '^Refused: |^On \d+ held-out samples, |, and is not(?=\)\.?$)|\.$', '', 'g'
                ) as words
            from unnest(n.reasons) with ordinality as given (sentence, place)
        ) brief
    ) said
    where n.status = 'rejected'
      and not exists (
          select from annotator.release live where live.field = n.field and live.status = 'live'
      )
), places as (
    select
        g.section, g.worth, g.dataset_id, g.field,
        null::bigint as refused_id, null::text as refused_reason, null::timestamptz as refused_at
    from annotator.queue_group g
    where not exists (
        select from annotator.queue_change c
        where c.dataset_id = g.dataset_id and c.field = g.field
    ) and not exists (
        -- Nothing of the group can be decided on: it is being answered anew.
        select from annotator.release live
        where live.field = g.field and live.status = 'live' and live.release_id <> g.release_id
    )
    union all
    select f.section, f.worth, c.dataset_id, c.field, null, null, null
    from (select distinct n.dataset_id, n.field from annotator.queue_change n) c
    cross join lateral annotator.queue_figure(c.dataset_id, c.field) f
    union all
    -- Fields that nothing answers for: their samples are open without a suggestion.
    select 2, 0, d.dataset_id::text, r.field, r.release_id, r.reason, r.created_at
    from refused r
    cross join atlas.dataset d
)
select
    o.prediction_id,
    o.sample_id,
    g.dataset_id::text as dataset_id,
    g.field,
    p.value,
    coalesce(p.lineage, '{}') as lineage,
    p.confidence,
    coalesce(p.status::text, 'abstained') as status,
    case when g.section = 2 then g.refused_reason else p.reason end as reason,
    coalesce(p.top_features, '{}') as top_features,
    coalesce(p.models, '{}') as models,
    p.novelty,
    coalesce(p.release_id, g.refused_id) as release_id,
    coalesce(p.created_at, g.refused_at) as created_at,
    o.dataset_open,
    o.dataset_agrees,
    o.dataset_lowest_confidence,
    o.disagreement > 0 as models_disagree,
    coalesce(p.prediction_set, '{}') as prediction_set,
    p.set_coverage,
    p.known_features,
    p.number,
    p.number_low,
    p.number_high,
    o.disagreement,
    o.dataset_value,
    o.differs_from_dataset,
    o.one_click,
    o.informativeness
from (
    -- Sorted in here, so that the rows of only so many groups are looked up as are asked for.
    select * from places order by section, worth desc, dataset_id, field
) g
cross join lateral (
    with compared as (
        select
            v.*,
            first_value(v.best_value) over ranked as dataset_value,
            first_value(v.lineage) over ranked as dataset_lineage,
            count(*) filter (where v.is_unanswered) over () as dataset_open,
            min(v.value) filter (where v.is_unanswered) over ()
                = max(v.value) filter (where v.is_unanswered) over () as dataset_agrees,
            min(v.confidence) filter (where v.is_unanswered) over () as dataset_lowest_confidence,
            count(*) filter (where v.is_unanswered and v.status = 'suggested' and v.confidence >= 0.8)
                over () as sure,
            min(v.best_value) filter (where v.is_unanswered or v.is_decided) over ()
                = max(v.best_value) filter (where v.is_unanswered or v.is_decided) over ()
                as one_value
        from (
            select
                m.*,
                count(m.best_value) over same_value as votes,
                sum(m.confidence) over same_value as weight
            from annotator.queue_member m
            where m.dataset_id = g.dataset_id and m.field = g.field and g.section < 2
              and not m.is_rejected
            window same_value as (partition by m.best_value)
        ) v
        window ranked as (
            order by v.votes desc, v.weight desc nulls last, v.best_value,
                cardinality(v.lineage) desc
        )
    )
    select
        c.prediction_id,
        c.sample_id,
        c.dataset_open,
        c.dataset_agrees,
        c.dataset_lowest_confidence,
        c.disagreement,
        c.dataset_value,
        -- A broader or narrower term of the same line does not contradict.
        coalesce(
            c.best_value <> c.dataset_value
                and c.dataset_value <> all (c.lineage) and c.best_value <> all (c.dataset_lineage),
            false
        ) as differs_from_dataset,
        coalesce(c.sure = c.dataset_open and c.one_value, false) as one_click,
        c.informativeness,
        case when c.sure = c.dataset_open and c.one_value then c.confidence
            else c.informativeness end as row_worth
    from compared c
    where c.is_unanswered
    union all
    select
        null, s.sample_id::text, count(*) over (), null, null, 0, null, false, false, null, null
    from atlas.sample s
    where g.section = 2 and s.dataset_id = g.dataset_id
      and not exists (
          select from annotator.prediction p
          where p.sample_id = s.sample_id and p.field = g.field and p.is_current
      ) and not exists (
          select from atlas.annotation a
          where a.sample_id = s.sample_id and a.field = g.field
            and (btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN')
      ) and not exists (
          select from annotator.prediction other
          join annotator.review decided using (prediction_id)
          where other.sample_id = s.sample_id and other.field = g.field
            and decided.decision in ('accepted', 'corrected')
      )
) o
left join annotator.prediction p on p.prediction_id = o.prediction_id
order by g.section, g.worth desc, g.dataset_id, g.field, o.row_worth desc nulls last, o.sample_id;
comment on view annotator.review_queue is
    'What is open, most useful first: whole datasets that one click settles (one_click), those with the most samples first; then what a look would tell most about (informativeness), by dataset and field; last, without a prediction_id, samples that no reliable model answers for.';
comment on column annotator.review_queue.one_click is
    'Whether every open sample of the dataset has a suggestion of at least 0.8, all of them of one value, which is also what was accepted there before.';
comment on column annotator.review_queue.informativeness is
    'Mean of how unsure (1 - confidence), how divided (disagreement) and how unlike the training samples (novelty) the answer is; 0 to 1.';
