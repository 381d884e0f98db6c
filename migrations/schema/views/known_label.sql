-- The only definition of a label, and of the values that mean that there is none.
-- Columns have the types of the atlas.
create or replace view annotator.known_label as
select
    a.sample_id,
    a.field,
    coalesce(given.text, a.numeric_value::text) as value,
    given.number as numeric_value,
    a.source,
    a.term_id
from atlas.annotation a
cross join lateral (
    select
        case
            when annotator.plain_word(a.value) <> all (annotator.missing_words())
                -- Unless the field was declared with this word. A subquery that is run once.
                or a.field || ' ' || annotator.plain_word(a.value) = any (
                    array(select d.field || ' ' || annotator.plain_word(d.word) from annotator.declared_word d)
                )
                then btrim(a.value)
        end as text,
        nullif(a.numeric_value::float8, 'NaN') as number
) given
where given.text is not null or given.number is not null;
comment on view annotator.known_label is
    'The labels of the mirror: one row per sample and field with a text or a number. Words for a missing value (annotator.missing_words) and NaN are not labels.';
comment on column annotator.known_label.value is
    'The text of the label without surrounding blanks; the number as text if there is no text.';
comment on column annotator.known_label.numeric_value is
    'The number behind the label; null if there is none.';
comment on column annotator.known_label.term_id is
    'The term that the label means, if the mirror has one for it.';
