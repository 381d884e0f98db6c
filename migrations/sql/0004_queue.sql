-- What is said of a whole dataset is kept by dataset and field, so that the first rows of the
-- queue are found without looking at all the others. Which samples are open is looked up when
-- the queue is read, in the mirror as it is then.

create table annotator.queue_group (
    dataset_id        text not null,
    field             text not null,
    section           smallint not null check (section in (0, 1)),
    worth             double precision not null,
    open              bigint not null,
    agrees            boolean,
    lowest_confidence double precision,
    best_value        text,
    lineage           text[],
    has_reviews       boolean not null,
    counted_at        timestamptz not null,
    primary key (dataset_id, field)
);
create index queue_group_order on annotator.queue_group (section, worth desc, dataset_id, field);
create index queue_group_field on annotator.queue_group (field, section, worth desc, dataset_id);
create index queue_group_age on annotator.queue_group (counted_at);
comment on table annotator.queue_group is
    'Where each dataset and field stands in review_queue. There is a row, or one in queue_change, for everything that is not decided.';
comment on column annotator.queue_group.section is
    '0: one click settles the whole dataset; 1: informative ones.';
comment on column annotator.queue_group.worth is
    'Section 0: open samples times the lowest confidence; section 1: mean informativeness of the open samples. Higher comes first.';
comment on column annotator.queue_group.has_reviews is
    'Whether anything was ever decided about its samples: where not, nobody need look for it.';

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

-- Whether anything was decided about a sample is asked of every row of the queue.
alter table annotator.review add column sample_id text, add column field text;
update annotator.review r set sample_id = p.sample_id, field = p.field
from annotator.prediction p where p.prediction_id = r.prediction_id;
alter table annotator.review
    alter column sample_id set not null, alter column field set not null;
create index review_sample on annotator.review (sample_id, field);
comment on column annotator.review.sample_id is 'Of its prediction, as is field: written by the database.';

create function annotator.name_reviewed_sample() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    select p.sample_id, p.field into new.sample_id, new.field
    from annotator.prediction p where p.prediction_id = new.prediction_id;
    return new;
end $$;
create trigger name_sample before insert or update on annotator.review
    for each row execute function annotator.name_reviewed_sample();

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
        select distinct same.dataset_id, same.field
        from after_change a
        join annotator.prediction same on same.sample_id = a.sample_id and same.field = a.field;
    end if;
    if tg_op in ('DELETE', 'UPDATE') then
        insert into annotator.queue_change (dataset_id, field)
        select distinct same.dataset_id, same.field
        from before_change b
        join annotator.prediction same on same.sample_id = b.sample_id and same.field = b.field;
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

-- What a prediction says by itself is worked out when it is written.
create function annotator.disagreement(models jsonb) returns double precision
language sql immutable parallel safe
begin atomic
    select coalesce(1 - max(named.kinds) / sum(named.kinds), 0)::double precision
    from (
        select count(*) as kinds
        from jsonb_each(disagreement.models) as kind
        where kind.key <> 'combined' and kind.value ->> 'value' is not null
        group by kind.value ->> 'value'
    ) named;
end;
comment on function annotator.disagreement(jsonb) is
    'Share of the model kinds that do not name what most of them name.';

create function annotator.informativeness(
    confidence double precision, models jsonb, novelty double precision
)
returns double precision
language sql immutable parallel safe
return (
    (1 - coalesce(confidence, 0)) + annotator.disagreement(models)
    + least(greatest(coalesce(novelty, 0), 0), 1)
) / 3;

alter table annotator.prediction
    add column best_value text generated always as
        (coalesce(value, models -> 'combined' ->> 'value')) stored,
    add column disagreement double precision generated always as
        (annotator.disagreement(models)) stored,
    add column informativeness double precision generated always as
        (annotator.informativeness(confidence, models, novelty)) stored;
comment on column annotator.prediction.best_value is
    'The value, or the best guess of an abstention.';
comment on column annotator.prediction.informativeness is
    'How much a look at it would tell, 0 to 1: mean of 1 - confidence, disagreement and novelty.';

create view annotator.queue_member as
select
    p.prediction_id,
    p.sample_id,
    p.dataset_id,
    p.field,
    p.release_id,
    p.status,
    p.confidence,
    p.disagreement,
    p.informativeness,
    coalesce(r.value, p.value) as value,
    coalesce(r.value, p.best_value) as best_value,
    case when r.decision = 'corrected' then annotator.lineage(r.value) else p.lineage end as lineage,
    coalesce(r.decision in ('accepted', 'corrected'), false) as is_decided,
    coalesce(r.decision = 'rejected', r.rejected, false) as is_rejected,
    r.decided is not null as has_reviews,
    r.decision is null
        and label.found is null
        and r.decided is not true as is_unanswered
from annotator.prediction p
-- Looked up for each prediction, whatever the statistics say: LIMIT and the aggregate keep
-- the planner from reading these tables whole.
left join lateral (
    select
        max(given.decision) filter (where given.prediction_id = p.prediction_id) as decision,
        max(given.value) filter (where given.prediction_id = p.prediction_id) as value,
        -- Of this and earlier answers.
        bool_or(given.decision in ('accepted', 'corrected')) as decided,
        bool_or(
            given.decision = 'rejected'
            and (select old.value from annotator.prediction old
                 where old.prediction_id = given.prediction_id) = p.value
        ) as rejected
    from annotator.review given
    where given.sample_id = p.sample_id and given.field = p.field
) r on true
left join lateral (
    select same.updated_at, true as found
    from atlas.sample same where same.sample_id = p.sample_id
    limit 1
) s on true
left join lateral (
    select true as found
    from atlas.annotation a
    where a.sample_id = p.sample_id and a.field = p.field
      and (btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN')
    limit 1
) label on true
where p.is_current
  and (
      r.decision is not null
      or s.found
      and extract(epoch from p.sample_updated_at) is not distinct from extract(epoch from s.updated_at)
  );
comment on view annotator.queue_member is
    'What the queue is made of: the current answers, and whether they are open (is_unanswered and not is_rejected).';

create view annotator.learned_sample as
select r.release_id, c.sample_id
from annotator.release r
join annotator.training_run t using (run_id)
join annotator.cohort_sample c using (cohort_id);
comment on view annotator.learned_sample is
    'What each release has learned from: what it says of these samples is no test of it, and its confidence tells nothing. Such a suggestion is open after undo_review, for one.';

create function annotator.queue_figure(dataset_id text, field text)
returns setof annotator.queue_group
-- Planning takes longer than working out the place of most datasets.
language plpgsql stable rows 1 set plan_cache_mode = force_generic_plan as $$
begin
    return query
    -- One row a value: what is counted of hundreds of samples is put together from few.
    with named as materialized (
        select
            m.best_value,
            m.lineage,
            count(*) filter (where m.is_named) as named,
            sum(m.confidence) filter (where m.is_named) as confidence,
            bool_or(m.is_decided or m.is_open) as counts,
            bool_or(m.has_reviews) as has_reviews,
            count(*) filter (where m.is_open) as open,
            min(m.value) filter (where m.is_open) as first_value,
            max(m.value) filter (where m.is_open) as last_value,
            min(m.confidence) filter (where m.is_open) as lowest,
            sum(m.informativeness) filter (where m.is_open) as informativeness,
            bool_and(m.status = 'suggested' and m.confidence >= 0.8) filter (where m.is_open) as sure
        from (
            select
                m.best_value, m.lineage, m.value, m.confidence, m.informativeness, m.status,
                m.is_decided, m.has_reviews, not m.is_rejected as is_named,
                m.is_unanswered and not m.is_rejected as is_open
            from annotator.queue_member m
            where m.dataset_id = queue_figure.dataset_id and m.field = queue_figure.field
            offset 0  -- what is said of a sample is worked out once
        ) m
        group by m.best_value, m.lineage
    ), prevailing as (
        select
            most.best_value,
            (select n.lineage from named n
             where n.best_value = most.best_value and n.named > 0
             order by cardinality(n.lineage) desc limit 1) as lineage
        from (
            select n.best_value
            from named n
            where n.best_value is not null and n.named > 0
            group by n.best_value
            order by sum(n.named) desc, sum(n.confidence) desc nulls last, n.best_value
            limit 1
        ) most
    ), whole as (
        select
            coalesce(sum(n.open), 0)::bigint as open,
            min(n.first_value) = max(n.last_value) as agrees,
            min(n.lowest) as lowest,
            sum(n.informativeness) / sum(n.open)::double precision as informativeness,
            bool_and(n.sure)
                and min(n.best_value) filter (where n.counts)
                    = max(n.best_value) filter (where n.counts) as of_one_value,
            coalesce(bool_or(n.has_reviews), false) as has_reviews
        from named n
    ), figure as (
        select
            w.*,
            w.of_one_value is true and not exists (
                select
                from (
                    select p.prediction_id
                    from annotator.prediction p
                    join annotator.learned_sample l using (release_id, sample_id)
                    where p.dataset_id = queue_figure.dataset_id and p.field = queue_figure.field
                      and p.is_current
                    offset 0  -- these first: hardly ever there are any
                ) learned
                join annotator.queue_member m using (prediction_id)
                where m.is_unanswered and not m.is_rejected
            ) as one_click
        from whole w
    )
    select
        queue_figure.dataset_id,
        queue_figure.field,
        case when f.one_click then 0 else 1 end::smallint,
        coalesce(case when f.one_click then f.open * f.lowest else f.informativeness end, 0),
        f.open,
        f.agrees,
        f.lowest,
        l.best_value,
        l.lineage,
        f.has_reviews,
        clock_timestamp()
    from figure f
    left join prevailing l on true;
end $$;
comment on function annotator.queue_figure(text, text) is
    'The place of a dataset and field in review_queue as things are now.';

create function annotator.count_groups(datasets text[], fields text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- The caller holds the lock of each group: see lock_groups.
    delete from annotator.queue_change c
    using unnest(count_groups.datasets, count_groups.fields) as given (dataset_id, field)
    where c.dataset_id = given.dataset_id and c.field = given.field;
    insert into annotator.queue_group
    select f.*
    from unnest(count_groups.datasets, count_groups.fields) as given (dataset_id, field)
    cross join lateral annotator.queue_figure(given.dataset_id, given.field) f
    on conflict (dataset_id, field) do update set
        section = excluded.section, worth = excluded.worth, open = excluded.open,
        agrees = excluded.agrees, lowest_confidence = excluded.lowest_confidence,
        best_value = excluded.best_value, lineage = excluded.lineage,
        has_reviews = excluded.has_reviews, counted_at = excluded.counted_at;
    -- What only the mirror settles at present stays: it may take its labels back.
    delete from annotator.queue_group g
    using unnest(count_groups.datasets, count_groups.fields) as given (dataset_id, field)
    where g.dataset_id = given.dataset_id and g.field = given.field
      and g.open = 0
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

create function annotator.recount_samples(samples text[], field text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    datasets text[];
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        return;
    end if;
    select array_agg(of_batch.dataset_id) into datasets
    from (
        select distinct p.dataset_id
        from annotator.prediction p
        where p.sample_id = any (recount_samples.samples) and p.field = recount_samples.field
        order by 1
    ) of_batch
    where annotator.lock_group(of_batch.dataset_id, recount_samples.field);
    if datasets is not null then
        perform annotator.count_groups(
            datasets, array_fill(recount_samples.field, array[cardinality(datasets)]));
    end if;
end $$;
comment on function annotator.recount_samples(text[], text) is
    'Work out the places of the datasets of these samples, in the transaction that changed their predictions: no reader has to.';

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

-- What is there already takes its place; nobody else is at the predictions now.
select annotator.count_groups(array_agg(g.dataset_id), array_agg(g.field))
from (select distinct p.dataset_id, p.field from annotator.prediction p where p.is_current) g;
-- Rechecked first, since nobody watched; and the same however often a migration is begun.
update annotator.queue_group set counted_at = 'epoch';

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
                filter (where brief.sentence ~ '^Refused|, and is not\)|[0-9] is worse than ') as failed,
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
    -- Read in the order of the index and no further than asked for: so the ORDER BY in here,
    -- a subquery for each row instead of a join, and the same types in every branch.
    (select
        g.section, g.worth, g.dataset_id, g.field, g.open, g.agrees, g.lowest_confidence,
        g.best_value, g.lineage, g.has_reviews,
        null::bigint as refused_id, null::text as refused_reason, null::timestamptz as refused_at
    from annotator.queue_group g
    where coalesce((
        select 1 from annotator.queue_change c
        where c.dataset_id = g.dataset_id and c.field = g.field
        limit 1
    ), 0) <> 1
    order by g.section, g.worth desc, g.dataset_id, g.field)
    union all
    select
        f.section, f.worth, c.dataset_id, c.field, f.open, f.agrees, f.lowest_confidence,
        f.best_value, f.lineage, f.has_reviews, null::bigint, null::text, null::timestamptz
    from (select distinct n.dataset_id, n.field from annotator.queue_change n) c
    cross join lateral annotator.queue_figure(c.dataset_id, c.field) f
    union all
    -- Fields that nothing answers for: their samples are open without a suggestion.
    select
        2::smallint, 0::double precision, d.dataset_id::text, r.field, null::bigint, null::boolean,
        null::double precision, null::text, null::text[], false,
        r.release_id, r.reason, r.created_at
    from refused r
    cross join atlas.dataset d
)
select
    o.prediction_id,
    o.sample_id,
    g.dataset_id::text as dataset_id,
    g.field,
    o.value,
    o.lineage,
    o.confidence,
    o.status,
    coalesce(g.refused_reason, o.reason) as reason,
    o.top_features,
    o.models,
    o.novelty,
    coalesce(o.release_id, g.refused_id) as release_id,
    coalesce(o.created_at, g.refused_at) as created_at,
    coalesce(g.open, o.refused_open) as dataset_open,
    g.agrees as dataset_agrees,
    g.lowest_confidence as dataset_lowest_confidence,
    o.disagreement > 0 as models_disagree,
    o.prediction_set,
    o.set_coverage,
    o.known_features,
    o.number,
    o.number_low,
    o.number_high,
    o.disagreement,
    g.best_value as dataset_value,
    -- A broader or narrower term of the same line does not contradict.
    coalesce(
        o.best_value <> g.best_value
            and g.best_value <> all (o.lineage) and o.best_value <> all (g.lineage),
        false
    ) as differs_from_dataset,
    g.section = 0 as one_click,
    o.informativeness
from (
    -- Sorted in here, so that the rows of only so many datasets are looked up as are asked for.
    select * from places order by section, worth desc, dataset_id, field
) g
cross join lateral (
    select
        p.prediction_id, p.sample_id, p.value, p.lineage, p.confidence, p.status::text as status,
        p.reason, p.top_features, p.models, p.novelty, p.release_id, p.created_at,
        p.prediction_set, p.set_coverage, p.known_features, p.number, p.number_low, p.number_high,
        p.best_value, p.disagreement, p.informativeness, null::bigint as refused_open
    from annotator.prediction p
    -- As in annotator.queue_member.
    left join lateral (
        select same.updated_at, true as found
        from atlas.sample same where same.sample_id = p.sample_id
        limit 1
    ) s on true
    left join lateral (
        select true as found
        from atlas.annotation a
        where a.sample_id = p.sample_id and a.field = p.field
          and (btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN')
        limit 1
    ) label on true
    left join lateral (
        select bool_or(
            given.prediction_id = p.prediction_id
            or given.decision in ('accepted', 'corrected')
            or (select old.value from annotator.prediction old
                where old.prediction_id = given.prediction_id) = p.value
        ) as answered
        from annotator.review given
        where g.has_reviews and given.sample_id = p.sample_id and given.field = p.field
    ) decided on true
    where g.section < 2 and p.dataset_id = g.dataset_id and p.field = g.field and p.is_current
      and s.found
      and extract(epoch from p.sample_updated_at)
          is not distinct from extract(epoch from s.updated_at)
      and label.found is null
      and decided.answered is not true
    union all
    select
        null, s.sample_id::text, null, '{}', null, 'abstained', null, '{}', '{}', null, null, null,
        '{}', null, null, null, null, null, null, 0, null, count(*) over ()
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
          select from annotator.review decided
          where decided.sample_id = s.sample_id and decided.field = g.field
            and decided.decision in ('accepted', 'corrected')
      )
) o
order by
    g.section, g.worth desc, g.dataset_id, g.field,
    case when g.section = 0 then o.confidence else o.informativeness end desc nulls last, o.sample_id;
comment on view annotator.review_queue is
    'What is open, most useful first: whole datasets that one click settles (one_click), those with the most samples first; then what a look would tell most about (informativeness), by dataset and field; last, without a prediction_id, samples that no reliable model answers for.';
comment on column annotator.review_queue.one_click is
    'Whether every open sample of the dataset has a suggestion of at least 0.8, all of them of one value, which is also what was accepted there before, and none by a release that has learned from the sample.';
comment on column annotator.review_queue.informativeness is
    'Mean of how unsure (1 - confidence), how divided (disagreement) and how unlike the training samples (novelty) the answer is; 0 to 1.';
