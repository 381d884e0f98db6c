-- The list is that of annotator/domain/values/missing.py, which is put in here whenever the function is
-- created again.
create or replace function annotator.missing_words() returns text[]
language sql immutable parallel safe
begin atomic
    select array[{missing_words}]::text[];
end;
comment on function annotator.missing_words() is
    'The words that mean that a value is missing, as annotator.plain_word returns them.';
