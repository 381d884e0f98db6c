create or replace function annotator.annotation_history(sample_id text)
returns table (at timestamptz, what text, field text, value text, by text, detail jsonb)
language sql stable
begin atomic
    select h.at, h.what, h.field, h.value, h.by, jsonb_strip_nulls(h.detail)
    from (
        select
            p.created_at as at, p.status::text as what, p.field, p.value,
            'release ' || p.release_id as by,
            jsonb_build_object(
                'prediction_id', p.prediction_id, 'confidence', p.confidence, 'reason', p.reason,
                'dataset_id', p.dataset_id, 'current', p.is_current) as detail,
            p.prediction_id as place
        from annotator.prediction p
        where p.sample_id = annotation_history.sample_id
        union all
        select
            r.reviewed_at, r.decision::text, p.field, r.value, r.reviewer,
            jsonb_build_object(
                'review_id', r.review_id, 'prediction_id', r.prediction_id,
                'number', r.number, 'note', r.note),
            r.review_id
        from annotator.review r join annotator.prediction p using (prediction_id)
        where p.sample_id = annotation_history.sample_id
        union all
        select
            u.reviewed_at, u.decision::text, p.field, u.value, u.reviewer,
            jsonb_build_object(
                'review_id', u.review_id, 'prediction_id', u.prediction_id,
                'number', u.number, 'note', u.note),
            u.review_id
        from annotator.undone_review u join annotator.prediction p using (prediction_id)
        where p.sample_id = annotation_history.sample_id
        union all
        select
            u.undone_at, 'review undone', p.field, u.value, u.undone_by,
            jsonb_build_object(
                'review_id', u.review_id, 'prediction_id', u.prediction_id,
                'number', u.number, 'note', u.undo_note),
            u.review_id
        from annotator.undone_review u join annotator.prediction p using (prediction_id)
        where p.sample_id = annotation_history.sample_id
        union all
        select
            q.created_at, 'quarantined', q.field, null, 'release ' || q.release_id,
            jsonb_build_object('code', q.code, 'reason', q.reason), q.quarantine_id
        from annotator.quarantine q
        where q.sample_id = annotation_history.sample_id
        union all
        select
            c.seen_at,
            case when c.what = 'dataset' then 'moved to dataset'
                when c.value is null then 'label removed' else 'labelled' end,
            c.field, c.value, coalesce('mirror: ' || c.source, 'mirror'), '{}', c.change_id
        from annotator.mirror_change c
        where c.sample_id = annotation_history.sample_id
        union all
        -- Labels whose arrival no daemon saw: they were there before, or have just arrived.
        select
            null, 'labelled', k.field::text, k.value, 'mirror: ' || k.source, '{}', 0
        from annotator.known_label k
        where k.sample_id = annotation_history.sample_id
          and k.value is distinct from (
              select c.value from annotator.mirror_change c
              where c.sample_id = k.sample_id and c.field = k.field
              order by c.change_id desc limit 1
          )
    ) h
    order by h.at nulls first, h.place, h.field;
end;
comment on function annotator.annotation_history(text) is
    'The history of a sample, oldest first: predictions, reviews, undone reviews and changes in the mirror. Labels whose arrival no daemon saw have no time.';
