-- All three roles may read the mirror, and none may write to it.
grant usage on schema atlas to annotator_daemon, annotator_curator, annotator_reader;
grant select on
    atlas.dataset, atlas.sample, atlas.feature, atlas.expression, atlas.annotation, atlas.term,
    atlas.term_parent, atlas.term_synonym, atlas.expression_long
to annotator_daemon, annotator_curator, annotator_reader;
grant execute on function atlas.feature_expression(text)
to annotator_daemon, annotator_curator, annotator_reader;
