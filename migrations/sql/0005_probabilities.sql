-- Probabilities of all classes of every prediction, and the share of each model kind in the answer.

alter table annotator.prediction
    add column class_probabilities real[]
        constraint class_probabilities_are_probabilities check (
            0 <= all (class_probabilities) and 1 >= all (class_probabilities)
            and array_position(class_probabilities, null) is null
        ),
    -- Nobody searches by whole arrays, and ANALYZE would unpack every one it looks at.
    alter column class_probabilities set statistics 0;
comment on column annotator.prediction.class_probabilities is
    'Combined probabilities, in the order of the release''s classes; null for predictions by earlier versions.';

create function annotator.check_class_probabilities() returns trigger
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
create trigger class_probabilities_fit
    before insert or update of class_probabilities on annotator.prediction
    for each row when (new.class_probabilities is not null)
    execute function annotator.check_class_probabilities();

create view annotator.class_probability as
select p.prediction_id, one.class, one.probability
from annotator.prediction p
join annotator.release r using (release_id)
-- Ordered within each prediction: an ORDER BY of the whole view would keep the planner from
-- looking up the predictions that a join asks for.
cross join lateral (
    select given.class, given.probability
    from unnest(r.classes, p.class_probabilities)
        with ordinality as given (class, probability, position)
    order by given.probability desc, given.position
) one
where p.class_probabilities is not null;
comment on view annotator.class_probability is
    'One row per prediction and class, the classes of a prediction most probable first; none for predictions by earlier versions.';

alter table annotator.release
    add column weights jsonb
        constraint weights_are_an_object check (jsonb_typeof(weights) = 'object');
comment on column annotator.release.weights is
    'Model kind to its share of the answer; the shares sum to one. Null for releases of earlier versions.';

comment on table annotator.class_contribution is
    'Contributions of features to a class of a sample, one row per model kind and class; ''combined'' are those of the answer itself. contribution has one row per feature.';
comment on column annotator.contribution.model_kind is
    'A model kind, or ''combined'' for contributions to the answer itself.';
comment on column annotator.contribution.score is
    'Signed: above zero supports the class. Unit: logit of the class, weighted by the kind''s share for combined.';
