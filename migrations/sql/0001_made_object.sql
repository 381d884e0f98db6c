create table annotator.made_object (
    made_object_id integer generated always as identity primary key,
    kind           text not null check (kind in ('schema', 'table', 'view', 'function')),
    name           text not null unique
);
comment on table annotator.made_object is
    'What a migration made in schema atlas: going back removes that and nothing of the atlas''s own.';
