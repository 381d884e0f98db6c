-- The views of 0001 are made again by the revision itself, from their own file.
drop view
    annotator.curve, annotator.model_card, annotator.suspect_annotation, annotator.review_queue,
    annotator.suggestion;
drop table annotator.label_suspicion, annotator.validation_curve;
alter table annotator.validation_prediction drop column novelty;
alter table annotator.prediction
    drop column prediction_set,
    drop column set_coverage,
    drop column known_features,
    drop column number,
    drop column number_low,
    drop column number_high;
