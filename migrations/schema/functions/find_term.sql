-- As TermIndex in annotator/domain/terms.py; a test compares the two. Its text is not parsed
-- before it runs, so that atlas.term_synonym may be replaced by a view.
create or replace function annotator.find_term(label text) returns text
language plpgsql stable cost 10000 set search_path = pg_catalog, pg_temp as $$
declare
    key constant text := annotator.label_key(label);
    found_id text;
    meant integer;
begin
    select t.term_id::text into found_id from atlas.term t where t.term_id = label limit 1;
    if found_id is null then
        select min(t.term_id::text collate "C") into found_id
        from atlas.term t where annotator.label_key(t.term_id::text) = key;
    end if;
    if found_id is null then
        select min(t.term_id::text collate "C") into found_id
        from atlas.term t where annotator.label_key(t.name::text) = key;
    end if;
    for round in 1..2 loop
        exit when found_id is not null;
        select min(t.term_id::text collate "C"), count(distinct annotator.label_key(t.name::text))
        into found_id, meant
        from atlas.term_synonym s
        join atlas.term t on t.term_id = s.term_id
        where annotator.label_key(s.synonym::text) = key
          and case when s.scope in ('exact', 'alternative_id', 'replaced') then 1
              when s.scope in ('narrow', 'broad', 'related') then 2 end = round;
        if meant > 1 then
            return null;
        end if;
    end loop;
    -- Of several terms with one name, the first stands for all of them.
    return (
        select min(same.term_id::text collate "C")
        from atlas.term given
        join atlas.term same on annotator.label_key(same.name::text) = annotator.label_key(given.name::text)
        where given.term_id = found_id
    );
end $$;
comment on function annotator.find_term(text) is
    'The id of the term that a label means: by id, by name, by exact synonym, or by another synonym. Null if there is none, or a synonym of several terms.';
