create or replace function annotator.delete_history(
    release_id bigint, after bigint default 0, most integer default 2000,
    out last bigint, out predictions bigint, out contributions bigint
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    next_ids bigint[];
    old_ids bigint[];
    of_field text := (
        select r.field from annotator.release r
        where r.release_id = delete_history.release_id and r.status in ('retired', 'rejected')
    );
begin
    if of_field is null then
        return;  -- it may have gone live again meanwhile
    end if;
    -- However few of them can be deleted, no more predictions than these are looked at. In this
    -- form, only the index of both columns serves, not that of ids alone.
    select array_agg(next.prediction_id), max(next.prediction_id) into next_ids, last
    from (
        select p.release_id, p.prediction_id from annotator.prediction p
        where (p.release_id, p.prediction_id) > (delete_history.release_id, delete_history.after)
        order by p.release_id, p.prediction_id limit delete_history.most
    ) next
    where next.release_id = delete_history.release_id;
    -- A prediction can get a decision only while it is current.
    select coalesce(array_agg(old.prediction_id), '{}') into old_ids
    from (
        select p.prediction_id from annotator.prediction p
        where p.prediction_id = any (next_ids) and not p.is_current
          and not exists (
              select from annotator.review r where r.prediction_id = p.prediction_id
          ) and not exists (
              select from annotator.undone_review u where u.prediction_id = p.prediction_id
          )
        order by p.prediction_id
        for update of p skip locked
    ) old;
    delete from annotator.class_contribution c where c.prediction_id = any (old_ids);
    get diagnostics contributions = row_count;
    delete from annotator.prediction p where p.prediction_id = any (old_ids);
    get diagnostics predictions = row_count;
    if predictions > 0 then
        insert into annotator.event (kind, subject, detail)
        values (
            'history deleted', of_field,
            jsonb_build_object(
                'release_id', delete_history.release_id,
                'predictions', predictions, 'contributions', contributions
            )
        );
    end if;
end $$;
comment on function annotator.delete_history(bigint, bigint, integer) is
    'Delete predictions of a retired or rejected release that are neither current nor were ever decided on, among the next so many after a prediction_id; last is null if there are no more.';
