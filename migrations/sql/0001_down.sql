drop function annotator.accept_dataset(text, text, double precision, text);
drop function annotator.correct_suggestion(bigint, text, text);
drop function annotator.reject_suggestion(bigint, text);
drop function annotator.accept_suggestion(bigint, text);
drop function annotator.decide(bigint, annotator.review_decision, text, text);
drop function annotator.open_prediction(bigint);
drop function annotator.shared_trigrams(text, text);
drop function annotator.vocabulary(text);

drop view
    annotator.model_card, annotator.suspect_annotation, annotator.review_queue,
    annotator.suggestion, annotator.effective_annotation;
drop function annotator.lineage(text);

drop table
    annotator.tick, annotator.heartbeat, annotator.event, annotator.review, annotator.quarantine,
    annotator.contribution, annotator.prediction, annotator.work, annotator.annotation_run,
    annotator.metric, annotator.validation_prediction, annotator.artefact, annotator.release,
    annotator.training_run, annotator.cohort_sample, annotator.cohort;
drop function annotator.event_is_append_only();
drop type
    annotator.review_decision, annotator.prediction_status, annotator.run_status,
    annotator.release_status;

-- Privileges on an atlas that stays go, then what was made in it, last things first.
do $$
declare
    made record;
begin
    for made in
        select 'view' as kind, format('%I.%I', n.nspname, c.relname) as name
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'atlas' and c.relkind in ('r', 'v', 'm', 'f', 'p')
          and pg_has_role(c.relowner, 'usage')
    loop
        execute format('revoke all on table %s from annotator_daemon, annotator_curator,'
                       ' annotator_reader', made.name);
    end loop;
    if exists (select from pg_namespace where nspname = 'atlas'
               and pg_has_role(nspowner, 'usage')) then
        revoke all on schema atlas from annotator_daemon, annotator_curator, annotator_reader;
    end if;
    for made in select * from annotator.made_object order by made_object_id desc loop
        execute format('drop %s %s', made.kind, made.name);
    end loop;
end $$;
drop table annotator.made_object;
