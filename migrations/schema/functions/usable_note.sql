create or replace function annotator.usable_note(note text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if char_length(note) > 10000 then
        raise exception 'the note has % characters; at most 10000 are stored', char_length(note)
            using errcode = 'string_data_right_truncation',
                hint = 'Keep the text elsewhere, and give a link to it as the note.';
    end if;
    return note;
end $$;
