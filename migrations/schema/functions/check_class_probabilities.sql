create or replace function annotator.check_class_probabilities() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    classes integer := (
        select cardinality(r.classes) from annotator.release r where r.release_id = new.release_id
    );
begin
    if cardinality(new.class_probabilities) <> classes then
        raise exception 'sample % has % class probabilities, release % has % classes',
            quote_literal(left(new.sample_id, 200)), cardinality(new.class_probabilities),
            new.release_id, classes
            using errcode = 'check_violation';
    end if;
    return new;
end $$;
