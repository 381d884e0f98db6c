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
grant insert on
    annotator.cohort, annotator.cohort_sample, annotator.training_run, annotator.release,
    annotator.release_comparison,
    annotator.artefact, annotator.validation_prediction, annotator.metric,
    annotator.validation_curve, annotator.label_suspicion,
    annotator.annotation_run, annotator.prediction, annotator.class_contribution,
    annotator.quarantine, annotator.event,
    annotator.class_marker, annotator.class_similarity, annotator.class_enrichment,
    annotator.sample_map
to annotator_daemon;
grant insert, update, delete on annotator.release_report to annotator_daemon;
grant insert, update on annotator.organism_spelling to annotator_daemon;
grant insert, update, delete on annotator.work, annotator.heartbeat, annotator.tick
to annotator_daemon;
grant insert, delete on annotator.declared_word to annotator_daemon;
grant update on annotator.training_run, annotator.release, annotator.annotation_run
to annotator_daemon;
grant update (is_current, sample_updated_at) on annotator.prediction to annotator_daemon;
-- Functions that keep the order of the queue and watch the mirror.
grant execute on function
    annotator.refresh_queue(integer), annotator.recheck_queue(integer),
    annotator.recount_samples(text[], text), annotator.watch_mirror(),
    annotator.disagreement(jsonb),
    annotator.informativeness(double precision, jsonb, double precision)
to annotator_daemon;
-- For deleting the models of old releases.
grant delete on annotator.artefact to annotator_daemon;

-- Readers and curators read everything except the models.
grant select on
    annotator.suggestion, annotator.review_queue, annotator.effective_annotation,
    annotator.suspect_annotation, annotator.model_card, annotator.curve, annotator.contribution,
    annotator.class_contribution, annotator.class_probability,
    annotator.live_accuracy, annotator.judged_suggestion, annotator.learned_sample,
    annotator.known_label, annotator.declared_word, annotator.release_comparison,
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
