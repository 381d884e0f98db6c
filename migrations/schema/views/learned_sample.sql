create or replace view annotator.learned_sample as
select r.release_id, c.sample_id
from annotator.release r
join annotator.training_run t using (run_id)
join annotator.cohort_sample c using (cohort_id);
comment on view annotator.learned_sample is
    'What each release has learned from: what it says of these samples is no test of it, and its confidence tells nothing. Such a suggestion is open after undo_review, for one.';
