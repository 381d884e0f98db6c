-- The rights in schema annotator. Applied again after every migration: all rights are
-- revoked and those listed here are granted, so this file is complete.

revoke all on all tables in schema annotator
    from public, annotator_daemon, annotator_curator, annotator_reader;
revoke all on all functions in schema annotator
    from public, annotator_daemon, annotator_curator, annotator_reader;
revoke all on schema annotator
    from public, annotator_daemon, annotator_curator, annotator_reader;

grant usage on schema annotator to annotator_daemon, annotator_curator, annotator_reader;
-- Functions that views call.
grant execute on function
    annotator.lineage(text), annotator.vocabulary(text), annotator.queue_figure(text, text),
    annotator.in_interval(text, double precision), annotator.annotation_history(text),
    annotator.likely_share(bigint, bigint, double precision), annotator.spellings_of(text),
    annotator.plain_word(text), annotator.missing_words(),
    annotator.label_key(text), annotator.find_term(text), annotator.lineage_keys(text),
    annotator.is_ontology_field(text)
to annotator_daemon, annotator_curator, annotator_reader;

-- The daemon reads everything and writes provenance, but decides nothing and changes no schema.
grant select on all tables in schema annotator to annotator_daemon;
-- Ids, times, who it was and the first status are left to the database.
grant insert (field, hash, samples, datasets) on annotator.cohort to annotator_daemon;
grant insert (
    field, preset, seed, configuration, configuration_hash, versions, host, organism
) on annotator.training_run to annotator_daemon;
grant insert (field, run_id, classes, features, weights, organism, digests)
on annotator.release to annotator_daemon;
grant insert (worker, host) on annotator.annotation_run to annotator_daemon;
grant insert (
    sample_id, dataset_id, field, release_id, input_hash, sample_updated_at, value, lineage,
    confidence, status, reason, novelty, models, top_features, annotation_run_id, prediction_set,
    set_coverage, known_features, number, number_low, number_high, class_probabilities
) on annotator.prediction to annotator_daemon;
grant insert (sample_id, field, release_id, sample_updated_at, code, reason)
on annotator.quarantine to annotator_daemon;
grant insert (kind, subject, detail) on annotator.event to annotator_daemon;
grant insert on
    annotator.cohort_sample, annotator.release_comparison, annotator.artefact,
    annotator.validation_prediction, annotator.metric, annotator.validation_curve,
    annotator.label_suspicion, annotator.class_contribution, annotator.class_marker,
    annotator.class_similarity, annotator.class_enrichment, annotator.sample_map
to annotator_daemon;
grant insert, update, delete on annotator.release_report to annotator_daemon;
grant insert, update on annotator.organism_spelling, annotator.lock to annotator_daemon;
grant insert, update, delete on annotator.work, annotator.heartbeat, annotator.tick,
    annotator.release_loading
to annotator_daemon;
grant insert, delete on annotator.declared_word to annotator_daemon;
-- What a release consists of is set when it is made. Triggers keep the order of statuses.
grant update (status, reasons, promoted_at, retired_at) on annotator.release to annotator_daemon;
grant update (status, reason, cohort_id, folds, finished_at) on annotator.training_run
to annotator_daemon;
grant update (finished_at, predicted, quarantined) on annotator.annotation_run
to annotator_daemon;
grant update (is_current, sample_updated_at) on annotator.prediction to annotator_daemon;
-- Functions that keep the order of the queue and watch the mirror.
grant execute on function
    annotator.refresh_queue(integer), annotator.recheck_queue(integer),
    annotator.recount_samples(text[], text), annotator.watch_mirror(), annotator.analyze_work(),
    annotator.disagreement(jsonb),
    annotator.informativeness(double precision, jsonb, double precision)
to annotator_daemon;
-- For deleting the models and the history of old releases.
grant delete on annotator.artefact to annotator_daemon;
grant execute on function annotator.delete_history(bigint, bigint, integer) to annotator_daemon;

-- Readers and curators read everything except the models.
grant select on
    annotator.suggestion, annotator.review_queue, annotator.effective_annotation,
    annotator.suspect_annotation, annotator.model_card, annotator.curve, annotator.contribution,
    annotator.class_contribution, annotator.class_probability,
    annotator.live_accuracy, annotator.judged_suggestion, annotator.learned_sample,
    annotator.known_label, annotator.declared_word, annotator.release_comparison,
    annotator.release_loading,
    annotator.dataset_naming, annotator.sample_signature,
    annotator.queue_member, annotator.sample_organism, annotator.organism_spelling,
    annotator.quarantined_sample, annotator.field_samples,
    annotator.queue_group, annotator.queue_change, annotator.mirror_change,
    annotator.undone_review,
    annotator.quarantine, annotator.prediction, annotator.review, annotator.event,
    annotator.metric, annotator.validation_prediction, annotator.validation_curve,
    annotator.label_suspicion, annotator.class_marker, annotator.class_similarity,
    annotator.class_enrichment, annotator.sample_map, annotator.release_report, annotator.cohort,
    annotator.cohort_sample, annotator.training_run, annotator.release,
    annotator.annotation_run, annotator.work, annotator.heartbeat, annotator.tick,
    annotator.alembic_version
to annotator_reader, annotator_curator;

-- Curators also make decisions.
grant execute on function
    annotator.accept_suggestion(bigint, text),
    annotator.reject_suggestion(bigint, text),
    annotator.correct_suggestion(bigint, text, text),
    annotator.accept_dataset(text, text, double precision, text),
    annotator.undo_review(bigint, text)
to annotator_curator;

-- Settings that somebody gave our roles (`alter role … set`) would apply to each of their sessions.
do $$
declare
    given record;
begin
    for given in
        select s.setrole::regrole as role, d.datname as database
        from pg_db_role_setting s left join pg_database d on d.oid = s.setdatabase
        where s.setrole::regrole::text in
                ('annotator_daemon', 'annotator_curator', 'annotator_reader')
            and coalesce(d.datname = current_database(), true)
    loop
        if given.database is null then
            execute format('alter role %s reset all', given.role);
        else
            execute format('alter role %s in database %I reset all', given.role, given.database);
        end if;
    end loop;
exception when insufficient_privilege then
    null;  -- annotator doctor names them
end $$;
