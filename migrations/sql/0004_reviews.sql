-- What was undone, and review functions that know it; when a damaged release stopped serving.

create table annotator.undone_review (
    review_id     bigint primary key,
    prediction_id bigint not null references annotator.prediction,
    decision      annotator.review_decision not null,
    value         text,
    note          text,
    reviewer      text not null,
    reviewed_at   timestamptz not null,
    undone_by     text not null default session_user,
    undone_at     timestamptz not null default now(),
    undo_note     text
);
create index undone_review_prediction on annotator.undone_review (prediction_id);
comment on table annotator.undone_review is
    'Decisions that were taken back. annotator.review holds those that stand.';

create or replace function annotator.decide(
    prediction_id bigint, decision annotator.review_decision, value text, note text
)
returns setof annotator.review
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    target annotator.prediction := annotator.open_prediction(decide.prediction_id);
    standing annotator.review;
begin
    select r.* into standing from annotator.review r
    where r.prediction_id = target.prediction_id;
    if found then
        if standing.decision = decide.decision
           and standing.value is not distinct from decide.value then
            return next standing;  -- said before: nothing changes
            return;
        end if;
        raise exception 'prediction % was already % by % at %', target.prediction_id,
            standing.decision, standing.reviewer, standing.reviewed_at
            using errcode = 'object_not_in_prerequisite_state',
                hint = format('To take that back: select * from annotator.undo_review(%s, ''why'');',
                              standing.review_id);
    end if;
    insert into annotator.review (prediction_id, decision, value, note)
    values (target.prediction_id, decide.decision, decide.value, decide.note)
    returning * into standing;
    insert into annotator.event (kind, subject, detail)
    values (
        'review', target.sample_id,
        jsonb_build_object(
            'review_id', standing.review_id, 'prediction_id', target.prediction_id,
            'field', target.field, 'decision', standing.decision, 'value', standing.value,
            'note', standing.note
        )
    );
    perform annotator.recount_group(target.dataset_id, target.field);
    return next standing;
end $$;

-- Anew, since a review has its sample and field now.
create or replace function annotator.reject_suggestion(prediction_id bigint, note text default null)
returns setof annotator.review
language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
    select * from annotator.decide(
        reject_suggestion.prediction_id, 'rejected', null, reject_suggestion.note);
end;

create or replace function annotator.accept_dataset(
    dataset_id text, field text, min_confidence double precision default 0, note text default null
)
returns setof annotator.review
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    candidates bigint[];
    groups record;
begin
    -- The dataset that a sample is in now, not the one it was in when it was answered.
    select array_agg(p.prediction_id order by p.prediction_id) into candidates
    from atlas.sample s
    join annotator.prediction p on p.sample_id = s.sample_id
    where s.dataset_id = accept_dataset.dataset_id and p.field = accept_dataset.field
      and p.is_current;
    if candidates is null and not exists (
        select from annotator.prediction p
        where p.dataset_id = accept_dataset.dataset_id and p.field = accept_dataset.field
          and p.is_current
    ) then
        raise exception 'there is no prediction of % in dataset %',
            left(accept_dataset.field, 200), quote_literal(left(accept_dataset.dataset_id, 200))
            using errcode = 'no_data_found';
    end if;
    -- In the order in which daemons lock them. What somebody decides meanwhile is then seen
    -- below, and is not decided here.
    perform from annotator.prediction p
    where p.prediction_id = any (candidates) order by p.prediction_id for update;
    return query
    with taken as (
        insert into annotator.review (prediction_id, decision, value, note)
        select m.prediction_id, 'accepted', m.value, accept_dataset.note
        from annotator.queue_member m
        where m.prediction_id = any (candidates)
          and m.is_unanswered and not m.is_rejected and m.status = 'suggested'
          and m.confidence >= coalesce(accept_dataset.min_confidence, 0)
        order by m.prediction_id
        returning *
    ), noted as (
        insert into annotator.event (kind, subject, detail)
        select
            'review', p.sample_id,
            jsonb_build_object(
                'review_id', t.review_id, 'prediction_id', t.prediction_id,
                'field', p.field, 'decision', t.decision, 'value', t.value, 'note', t.note
            )
        from taken t join annotator.prediction p using (prediction_id)
        order by t.review_id
    )
    select t.* from taken t order by t.prediction_id;
    for groups in
        select distinct p.dataset_id, p.field
        from annotator.prediction p where p.prediction_id = any (candidates)
    loop
        perform annotator.recount_group(groups.dataset_id, groups.field);
    end loop;
end $$;

create function annotator.undo_review(review_id bigint, note text default null)
returns setof annotator.undone_review
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    standing annotator.review;
    target annotator.prediction;
begin
    select p.* into target
    from annotator.review r join annotator.prediction p using (prediction_id)
    where r.review_id = undo_review.review_id
    for update of p;
    if found then
        delete from annotator.review r where r.review_id = undo_review.review_id
        returning r.* into standing;
    end if;
    if standing.review_id is not null then
        insert into annotator.undone_review (
            review_id, prediction_id, decision, value, note, reviewer, reviewed_at, undo_note
        )
        values (
            standing.review_id, standing.prediction_id, standing.decision, standing.value,
            standing.note, standing.reviewer, standing.reviewed_at, undo_review.note
        );
        insert into annotator.event (kind, subject, detail)
        values (
            'review undone', target.sample_id,
            jsonb_build_object(
                'review_id', standing.review_id, 'prediction_id', standing.prediction_id,
                'field', target.field, 'decision', standing.decision, 'value', standing.value,
                'reviewer', standing.reviewer, 'note', undo_review.note
            )
        );
        perform annotator.recount_group(target.dataset_id, target.field);
    elsif not exists (
        select from annotator.undone_review u where u.review_id = undo_review.review_id
    ) then
        raise exception 'there is no review %', undo_review.review_id
            using errcode = 'no_data_found';
    end if;
    return query select u.* from annotator.undone_review u
        where u.review_id = undo_review.review_id;
end $$;
comment on function annotator.undo_review(bigint, text) is
    'Take a decision back: its sample is open again. Undoing twice changes nothing.';

alter table annotator.release
    drop constraint release_check1,
    add constraint retired_has_time check (status <> 'retired' or retired_at is not null),
    add constraint retired_was_live check (
        retired_at is null or status = 'retired' or status = 'rejected' and promoted_at is not null
    );
comment on column annotator.release.retired_at is
    'When a release that was live stopped serving: replaced by a newer one (retired), or damaged and replaced by the one before it (rejected).';
-- The event log knows of those that were found damaged so far.
update annotator.release r set retired_at = damaged.at
from (
    select (e.detail ->> 'release_id')::bigint as release_id, max(e.at) as at
    from annotator.event e
    where e.kind = 'failure' and e.detail ? 'reinstated'
    group by 1
) damaged
where damaged.release_id = r.release_id and r.status = 'rejected' and r.retired_at is null;
