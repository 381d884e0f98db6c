create or replace function annotator.undo_review(review_id bigint, note text default null)
returns setof annotator.undone_review
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    standing annotator.review;
    target annotator.prediction;
begin
    perform annotator.refuse_on_replica();
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
            review_id, prediction_id, decision, value, note, reviewer, reviewed_at, undo_note,
            number
        )
        values (
            standing.review_id, standing.prediction_id, standing.decision, standing.value,
            standing.note, standing.reviewer, standing.reviewed_at,
            annotator.usable_note(undo_review.note), standing.number
        );
        insert into annotator.event (kind, subject, detail)
        values (
            'review undone', target.sample_id,
            jsonb_build_object(
                'review_id', standing.review_id, 'prediction_id', standing.prediction_id,
                'field', target.field, 'decision', standing.decision, 'value', standing.value,
                'number', standing.number, 'reviewer', standing.reviewer,
                'note', undo_review.note
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
    'Undo a decision, so that its sample is open again. Undoing it twice changes nothing.';
