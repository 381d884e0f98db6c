-- Views and functions of earlier revisions are made again by the revision itself, from
-- their own files.
drop view
    annotator.class_probability, annotator.model_card, annotator.live_accuracy,
    annotator.judged_suggestion, annotator.review_queue, annotator.suggestion,
    annotator.suspect_annotation, annotator.effective_annotation;
drop function annotator.annotation_history(text);
drop function annotator.undo_review(bigint, text);
drop function annotator.correct_suggestion(bigint, text, text);
drop function annotator.reject_suggestion(bigint, text);
drop function annotator.decide(bigint, annotator.review_decision, text, text, double precision);
drop trigger class_probabilities_fit on annotator.prediction;
drop function annotator.check_class_probabilities();
alter table annotator.prediction drop column class_probabilities;
alter table annotator.release drop column weights;
alter table annotator.review drop column number;
alter table annotator.undone_review drop column number;
comment on table annotator.class_contribution is
    'What each model kind held for and against a class of a sample; contribution has a row a feature.';
comment on column annotator.contribution.model_kind is null;
comment on column annotator.contribution.score is
    'Signed: above zero speaks for the class. Unit: logit (network, linear), probability (forest), margin (boosting).';

delete from annotator.class_contribution where model_kind = 'combined';
alter table annotator.class_contribution drop column other_samples;
alter table annotator.class_marker drop column network_rank;
comment on table annotator.class_marker is
    'The features that set a class apart for the network of a release, rank 1 the first.';
comment on column annotator.class_marker.score is
    'Mean over the class''s samples of the DeepLIFT score for the class less its mean for the other classes, in logits.';
delete from annotator.class_similarity where model_kind = 'combined';
alter table annotator.class_similarity drop column model_kind;
alter table annotator.class_similarity
    add unique nulls not distinct (release_id, class, rival);
