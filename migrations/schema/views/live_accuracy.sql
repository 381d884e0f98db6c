create or replace view annotator.live_accuracy as
select
    r.release_id,
    r.field,
    r.status::text as status,
    f.judged,
    f.confirmed,
    f.contradicted,
    f.confirmed::double precision / nullif(f.judged, 0) as accuracy,
    annotator.likely_share(f.confirmed, f.judged, -1.96) as lowest,
    annotator.likely_share(f.confirmed, f.judged, 1.96) as highest,
    f.undecided,
    f.by_mirror,
    f.by_review,
    r.organism
from annotator.release r
join (
    select
        j.release_id,
        j.field,
        count(j.is_right) as judged,
        count(*) filter (where j.is_right) as confirmed,
        count(*) filter (where not j.is_right) as contradicted,
        count(*) filter (where j.is_right is null) as undecided,
        count(j.is_right) filter (where j.origin = 'mirror') as by_mirror,
        count(j.is_right) filter (where j.origin = 'review') as by_review
    from annotator.judged_suggestion j
    group by j.release_id, j.field
) f using (release_id, field)
order by r.field, r.release_id desc;
comment on view annotator.live_accuracy is
    'Accuracy of the suggestions of each release, by labels that came later. A suggestion is right if it is the label or a broader term.';
comment on column annotator.live_accuracy.lowest is
    'Lower end of the 95 % interval of accuracy (Wilson 1927); highest is the upper end. Samples in a dataset are alike, so the true value may lie outside more often.';
comment on column annotator.live_accuracy.undecided is
    'Number of labels that are broader than the suggestion, or intervals with other limits: they decide nothing and are not counted in judged.';
