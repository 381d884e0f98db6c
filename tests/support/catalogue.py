"""Definitions of the objects of a database, to compare two databases by."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from annotator.store.server.connection import Database

# Everything of ours that a database can hold, as text that two databases can be compared by.
_CATALOGUE = """
select 'relation ' || c.oid::regclass || ' ' || c.relkind::text || ' '
    || coalesce(c.relacl, acldefault('r', c.relowner))::text
    || ' ' || coalesce(pg_get_viewdef(case when c.relkind = 'v' then c.oid end), '')
    || ' ' || coalesce(obj_description(c.oid), '')
from pg_class c where c.relnamespace::regnamespace::text in ('annotator', 'atlas')
    and c.relkind not in ('i', 'S', 't')
union all
select 'column ' || a.attrelid::regclass || '.' || a.attname || ' ' || a.atttypid::regtype
    || ' ' || a.attnotnull || a.attstorage::text || a.attidentity::text
    || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '') || coalesce(a.attacl::text, '')
from pg_attribute a join pg_class c on c.oid = a.attrelid
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where c.relnamespace::regnamespace::text in ('annotator', 'atlas') and a.attnum > 0
    and not a.attisdropped
    and c.relkind in ('r', 'v')
union all
select 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
from pg_constraint where connamespace::regnamespace::text in ('annotator', 'atlas')
union all
select 'index ' || indexdef from pg_indexes where schemaname in ('annotator', 'atlas')
union all
select 'function ' || oid::regprocedure || ' ' || coalesce(proacl, acldefault('f', proowner))::text
    || pg_get_functiondef(oid)
from pg_proc where pronamespace::regnamespace::text in ('annotator', 'atlas')
union all
select 'type ' || t.oid::regtype || ' ' || coalesce(string_agg(e.enumlabel, ',' order by e.oid), '')
from pg_type t left join pg_enum e on e.enumtypid = t.oid
where t.typnamespace::regnamespace::text in ('annotator', 'atlas') and t.typtype = 'e'
group by t.oid
union all
select 'schema ' || nspname || ' ' || coalesce(nspacl, acldefault('n', nspowner))::text
from pg_namespace where nspname in ('annotator', 'atlas')
order by 1
"""


def catalogue(database: Database) -> list[str]:
    """Return the definitions of all objects of ours, with their rights, in a fixed order."""
    with database.connect() as conn:
        conn.execute("set local search_path = ''")
        return [row[0] for row in conn.execute(_CATALOGUE)]
