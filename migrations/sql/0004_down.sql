-- Views and functions of earlier revisions are made again by the revision itself, from
-- their own files.
drop function annotator.undo_review(bigint, text);
drop function annotator.accept_dataset(text, text, double precision, text);
drop function annotator.correct_suggestion(bigint, text, text);
drop function annotator.reject_suggestion(bigint, text);
drop function annotator.accept_suggestion(bigint, text);
drop function annotator.decide(bigint, annotator.review_decision, text, text);
drop function annotator.open_prediction(bigint);
drop function annotator.shared_trigrams(text, text);
drop function annotator.vocabulary(text);
drop function annotator.annotation_history(text);
drop view
    annotator.model_card, annotator.live_accuracy, annotator.judged_suggestion,
    annotator.review_queue, annotator.suspect_annotation, annotator.effective_annotation;
drop trigger queue_insert on annotator.prediction;
drop trigger queue_update on annotator.prediction;
drop trigger queue_delete on annotator.prediction;
drop trigger queue_insert on annotator.review;
drop trigger queue_update on annotator.review;
drop trigger queue_delete on annotator.review;
drop function annotator.note_prediction_change();
drop function annotator.note_review_change();
drop trigger name_sample on annotator.review;
drop function annotator.name_reviewed_sample();
drop function annotator.recheck_queue(integer);
drop function annotator.refresh_queue(integer);
drop function annotator.recount_group(text, text);
drop function annotator.recount_samples(text[], text);
drop function annotator.lock_group(text, text);
drop function annotator.count_groups(text[], text[]);
drop function annotator.queue_figure(text, text);
drop view annotator.learned_sample;
drop function annotator.watch_mirror();
drop function annotator.in_interval(text, double precision);
drop function annotator.likely_share(bigint, bigint, double precision);
drop view annotator.queue_member;
alter table annotator.review drop column sample_id, drop column field;
drop index annotator.prediction_recent, annotator.one_current_prediction;
create unique index one_current_prediction on annotator.prediction (sample_id, field)
    where is_current;
alter table annotator.prediction
    drop column best_value, drop column disagreement, drop column informativeness;
drop function annotator.informativeness(double precision, jsonb, double precision);
drop function annotator.disagreement(jsonb);
drop table
    annotator.mirror_change, annotator.queue_change, annotator.queue_group,
    annotator.undone_review;
comment on column annotator.release.retired_at is null;
update annotator.release set retired_at = null where status = 'rejected';
alter table annotator.release
    drop constraint retired_has_time, drop constraint retired_was_live,
    add constraint release_check1 check ((status = 'retired') = (retired_at is not null));
