create or replace function annotator.plain_word(value text) returns text
language sql immutable parallel safe
begin atomic
    -- In any locale; one pass, because it is computed for every annotation.
    select translate(lower(value collate "C"), {ignored_characters}, '');
end;
comment on function annotator.plain_word(text) is
    'The text without capitals, spaces and punctuation, as words for a missing value are compared.';
