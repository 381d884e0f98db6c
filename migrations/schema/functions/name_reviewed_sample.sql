create or replace function annotator.name_reviewed_sample() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    select p.sample_id, p.field into new.sample_id, new.field
    from annotator.prediction p where p.prediction_id = new.prediction_id;
    return new;
end $$;
