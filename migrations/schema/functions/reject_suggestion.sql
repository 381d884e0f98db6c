create or replace function annotator.reject_suggestion(prediction_id bigint, note text default null)
returns setof annotator.review
language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
    select * from annotator.decide(
        reject_suggestion.prediction_id, 'rejected', null, reject_suggestion.note);
end;
