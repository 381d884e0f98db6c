create or replace view annotator.learned_sample as
select r.release_id, c.sample_id
from annotator.release r
join annotator.training_run t using (run_id)
join annotator.cohort_sample c using (cohort_id);
comment on view annotator.learned_sample is
    'The samples that each release has learned from: its predictions for them are no test of it, and their confidence means nothing. Such a suggestion is open after undo_review, for example.';
