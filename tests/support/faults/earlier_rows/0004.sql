-- What revision 0004 brought, on top: a decision that was taken back, and changes in the mirror.

select annotator.accept_suggestion(prediction_id, 'fits') from annotator.prediction
where sample_id = 's4' and field = 'tissue';
select undone.review_id
from annotator.review r cross join lateral annotator.undo_review(r.review_id, 'wrong row') undone
where r.sample_id = 's4';
update atlas.sample set dataset_id = 'D2' where sample_id = 's5';
select annotator.watch_mirror();
