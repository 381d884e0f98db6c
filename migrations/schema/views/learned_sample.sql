create or replace view annotator.learned_sample as
select r.release_id, c.sample_id
from annotator.release r
join annotator.training_run t using (run_id)
join annotator.cohort_sample c using (cohort_id);
comment on view annotator.learned_sample is
    'The samples that each release has learned from: predictions for them do not test the release, and their confidence is meaningless. Such a suggestion can be open after undo_review, for example.';
