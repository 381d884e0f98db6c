create or replace function annotator.decide(
    prediction_id bigint, decision annotator.review_decision, value text, note text,
    number double precision default null
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
           and standing.value is not distinct from decide.value
           and standing.number is not distinct from decide.number then
            return next standing;  -- decided before: nothing changes
            return;
        end if;
        raise exception 'prediction % was already % by % at %', target.prediction_id,
            standing.decision, standing.reviewer, standing.reviewed_at
            using errcode = 'object_not_in_prerequisite_state',
                hint = format('To take that back: select * from annotator.undo_review(%s, ''why'');',
                              standing.review_id);
    end if;
    insert into annotator.review (prediction_id, decision, value, note, number)
    values (
        target.prediction_id, decide.decision, decide.value, annotator.usable_note(decide.note),
        decide.number
    )
    returning * into standing;
    insert into annotator.event (kind, subject, detail)
    values (
        'review', target.sample_id,
        jsonb_build_object(
            'review_id', standing.review_id, 'prediction_id', target.prediction_id,
            'field', target.field, 'decision', standing.decision, 'value', standing.value,
            'number', standing.number, 'note', standing.note
        )
    );
    perform annotator.recount_group(target.dataset_id, target.field);
    return next standing;
end $$;
