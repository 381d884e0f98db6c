create or replace function annotator.open_prediction(prediction_id bigint)
returns annotator.prediction
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    found_row annotator.prediction;
begin
    perform annotator.refuse_on_replica();
    select p.* into found_row
    from annotator.prediction p
    where p.prediction_id = open_prediction.prediction_id
    for update;
    if not found then
        raise exception 'there is no prediction %', open_prediction.prediction_id
            using errcode = 'no_data_found';
    end if;
    -- As in annotator.suggestion. Decisions stand, and decide() returns them again.
    if not found_row.is_current or not exists (
        select from atlas.sample s
        where s.sample_id = found_row.sample_id
          and extract(epoch from s.updated_at)
              is not distinct from extract(epoch from found_row.sample_updated_at)
        union all
        select from annotator.review r where r.prediction_id = found_row.prediction_id
    ) then
        raise exception 'prediction % is stale: the sample or the release has changed since; review the current one in annotator.suggestion', open_prediction.prediction_id
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    return found_row;
end $$;
