create or replace function annotator.accept_suggestion(prediction_id bigint, note text default null)
returns setof annotator.review
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    target annotator.prediction := annotator.open_prediction(accept_suggestion.prediction_id);
begin
    if target.status = 'abstained' then
        raise exception 'prediction % abstained (%): there is nothing to accept; use annotator.correct_suggestion',
            target.prediction_id, target.reason
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    return query select * from annotator.decide(
        target.prediction_id, 'accepted', target.value, accept_suggestion.note);
end $$;
