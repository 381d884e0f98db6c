-- Back to the tables of 0001. All views and functions but those that tables stand on are gone;
-- the revision makes those of 0001 again.

drop trigger name_sample on annotator.review;
drop trigger queue_insert on annotator.review;
drop trigger queue_update on annotator.review;
drop trigger queue_delete on annotator.review;
drop trigger queue_insert on annotator.prediction;
drop trigger queue_update on annotator.prediction;
drop trigger queue_delete on annotator.prediction;
drop trigger class_probabilities_fit on annotator.prediction;
drop trigger only_steps on annotator.release;
drop trigger only_steps on annotator.training_run;

do $$
declare
    short record;
begin
    for short in
        select conrelid::regclass as relation, conname from pg_constraint
        where connamespace = 'atlas'::regnamespace and conname like '%\_is\_short'
    loop
        execute format('alter table %s drop constraint %I', short.relation, short.conname);
    end loop;
end $$;

-- Synonyms of terms, unless they are a view of the atlas's owner.
do $$
begin
    drop index if exists atlas.term_id_key, atlas.term_name_key;
    if exists (
        select from pg_class c
        where c.oid = to_regclass('atlas.term_synonym') and c.relkind = 'r'
          and exists (
              select from annotator.made_object m
              where m.kind = 'table' and m.name = 'atlas.term_synonym'
          )
    ) then
        drop table atlas.term_synonym;
    end if;
    delete from annotator.made_object where kind = 'table' and name = 'atlas.term_synonym';
end $$;
drop function if exists annotator.label_key(text);

-- Contributions to the most probable class, one row per feature again.
create table annotator.contribution (
    prediction_id bigint not null references annotator.prediction on delete cascade,
    model_kind    text not null,
    method        text not null,
    rank          integer not null check (rank > 0),
    feature       text not null,
    score         double precision not null,
    expression    double precision not null,
    primary key (prediction_id, model_kind, rank)
);
comment on column annotator.contribution.score is
    'Signed: above zero speaks for the value. Unit: logit (network), probability (forest), margin (boosting).';
comment on column annotator.contribution.expression is 'Reads per million.';
insert into annotator.contribution
    (prediction_id, model_kind, method, rank, feature, score, expression)
select c.prediction_id, c.model_kind, c.method, one.rank, one.feature, one.score, one.expression
from annotator.class_contribution c
cross join lateral unnest(c.features, c.scores, c.expression)
    with ordinality as one (feature, score, expression, rank)
where c.class_rank = 1 and c.model_kind <> 'combined';

drop table annotator.sample_signature;
drop table
    annotator.class_contribution, annotator.mirror_change, annotator.queue_change,
    annotator.queue_group, annotator.undone_review, annotator.release_report,
    annotator.sample_map, annotator.class_enrichment, annotator.class_similarity,
    annotator.class_marker, annotator.label_suspicion, annotator.validation_curve,
    annotator.release_comparison, annotator.release_loading, annotator.declared_word;
-- Of several schemes only the one of held-out datasets was known.
delete from annotator.metric where scheme = 'cv';
alter table annotator.validation_prediction drop column novelty;
alter table annotator.review
    drop column sample_id,
    drop column field,
    drop column number;

delete from annotator.quarantine q using annotator.quarantine earlier
where earlier.quarantine_id < q.quarantine_id
  and (earlier.sample_id, earlier.field) = (q.sample_id, q.field)
  and earlier.release_id is not distinct from q.release_id
  and earlier.sample_updated_at is not distinct from q.sample_updated_at;
alter table annotator.quarantine
    drop constraint quarantined_once,
    add unique nulls not distinct (sample_id, field, release_id, sample_updated_at);

drop index annotator.prediction_recent, annotator.one_current_prediction;
create unique index one_current_prediction on annotator.prediction (sample_id, field)
    where is_current;
alter table annotator.prediction
    drop column prediction_set,
    drop column set_coverage,
    drop column known_features,
    drop column number,
    drop column number_low,
    drop column number_high,
    drop column class_probabilities,
    drop column best_value,
    drop column disagreement,
    drop column informativeness;
drop function annotator.informativeness(double precision, jsonb, double precision);
drop function annotator.disagreement(jsonb);
drop function annotator.check_class_probabilities();
drop function annotator.name_reviewed_sample();
drop function annotator.note_prediction_change();
drop function annotator.note_review_change();
drop function annotator.refuse_change();
alter function annotator.event_is_append_only() reset search_path;

-- Only one release per field can be live.
update annotator.release r set status = 'retired', retired_at = clock_timestamp()
from (
    select release_id,
        row_number() over (
            partition by field order by (organism = 'Homo sapiens') desc, release_id desc
        ) as place
    from annotator.release where status = 'live'
) other
where other.release_id = r.release_id and other.place > 1;
drop index annotator.one_live_release;
create unique index one_live_release on annotator.release (field) where status = 'live';
drop index annotator.work_claim;
create index work_claim on annotator.work (field, dataset_id, sample_id);
alter table annotator.release drop column organism;
alter table annotator.training_run drop column organism;
drop table annotator.organism_spelling, annotator.lock;

comment on column annotator.release.retired_at is null;
update annotator.release set retired_at = null where status = 'rejected';
alter table annotator.release
    drop column weights,
    drop column digests,
    drop constraint retired_has_time,
    drop constraint retired_was_live,
    add constraint release_check1 check ((status = 'retired') = (retired_at is not null));

alter type annotator.run_status rename to run_status_0002;
create type annotator.run_status as enum ('running', 'succeeded', 'failed', 'skipped');
update annotator.training_run set reason = 'interrupted' where status = 'interrupted';
alter table annotator.training_run
    drop constraint training_run_check,
    alter column status drop default,
    alter column status type annotator.run_status using (
        case status when 'interrupted' then 'failed' else status::text end
    )::annotator.run_status;
alter table annotator.training_run
    alter column status set default 'running',
    add check ((status = 'running') = (finished_at is null));
drop type annotator.run_status_0002;
comment on schema annotator is null;
