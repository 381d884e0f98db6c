-- As label_key() in annotator/domain/terms.py; a test compares the two.
create or replace function annotator.label_key(label text) returns text
language sql immutable strict parallel safe
return lower(btrim(
    regexp_replace(label, '[\s\u00a0_]+|(?<=[^\s\u00a0_])-+(?=[^\s\u00a0_])', ' ', 'g')
));
comment on function annotator.label_key(text) is
    'A label in lower case with single spaces, which stand for underscores and hyphens. Two labels with the same key are the same.';
