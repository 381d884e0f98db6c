"""Facts about the server and the database, for checks of the installation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from annotator.domain.values.lengths import LONGEST_NAME
from annotator.store.server.mirror_columns import MIRROR
from annotator.store.server.schema import ROLES

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

DAEMON, CURATOR, READER = ROLES


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """Facts about the server of a connection.

    ``is_replica`` is true for a server in recovery, ``read_only`` if transactions are
    read-only, as there or by default. ``connections`` out of ``maximum_connections`` are in use.
    """

    version: int
    version_text: str
    user: str
    database: str
    is_replica: bool
    read_only: bool
    connections: int
    maximum_connections: int
    encoding: str


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """Facts about the login role, and the rights of the group roles.

    Attributes
    ----------
    user
        The role that logged in.
    is_superuser, owns_schema
        Whether it is a superuser, and whether it owns schema ``annotator``.
    acts_as
        The group roles whose rights it has.
    missing_roles
        Group roles that do not exist on the server.
    missing_rights, excess_rights
        Rights that a group role should have but has not, and that it has but should
        not have, as ``role: right``.
    open_schemas
        Schemas in which everybody may create objects.
    triggers_off
        Triggers that keep history as it is, and are missing or disabled, as ``name on table``.
    role_settings
        Settings of the group roles in this database, as ``role: name=value``.
    """

    user: str
    is_superuser: bool
    owns_schema: bool
    acts_as: tuple[str, ...]
    missing_roles: tuple[str, ...]
    missing_rights: tuple[str, ...]
    excess_rights: tuple[str, ...]
    open_schemas: tuple[str, ...]
    triggers_off: tuple[str, ...]
    role_settings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """The files of one live release; ``damaged`` names files with a wrong size or digest."""

    release_id: int
    field: str
    files: int
    damaged: tuple[str, ...]
    organism: str


@dataclass(frozen=True, slots=True)
class MirrorFacts:
    """Facts about the contents of the mirror.

    ``repeated`` counts rows of atlas.sample beyond the first per sample, ``without_id`` and
    ``without_dataset`` rows without a sample id or a dataset of usable length, ``timeless``
    rows without ``updated_at``, and ``unmeasured`` rows of samples without one in atlas.expression.
    ``strange_kinds`` are unknown kinds of features; ``contradicting`` counts pairs of sample
    and field with several different values.
    """

    samples: int
    repeated: int
    without_id: int
    without_dataset: int
    timeless: int
    unmeasured: int
    strange_kinds: tuple[str, ...]
    contradicting: int


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """The current time of the database, and the latest time in its event log."""

    now: datetime
    latest_event: datetime | None


def server_facts(conn: psycopg.Connection) -> ServerFacts:
    """Read facts about the server."""
    row = conn.execute(
        "select current_setting('server_version_num')::int, current_setting('server_version'),"
        " session_user::text, current_database()::text,"
        " pg_is_in_recovery(), current_setting('transaction_read_only')::bool,"
        " (select count(*) from pg_stat_activity where backend_type = 'client backend'),"
        " current_setting('max_connections')::int, current_setting('server_encoding')"
    ).fetchone()
    assert row is not None
    return ServerFacts(*row)


# Enough of grants.sql to detect that it was not applied, or not to these objects.
_NEEDED = [
    *((role, "table", f"atlas.{name}", "select") for role in ROLES for name in MIRROR),
    *(
        (DAEMON, "table", f"annotator.{name}", "insert")
        for name in ("prediction", "class_contribution", "quarantine", "work", "event", "release")
    ),
    (DAEMON, "table", "annotator.lock", "update"),
    *((role, "table", "annotator.review_queue", "select") for role in (CURATOR, READER)),
    (CURATOR, "function", "annotator.accept_suggestion(bigint, text)", "execute"),
]

# Other checks report objects that do not exist: rights on these are unknown, not missing.
_MISSING_RIGHTS = """
select format('%%s: %%s on %%s', needed.role, needed.privilege, needed.object)
from unnest(%s::text[], %s::text[], %s::text[], %s::text[])
    with ordinality as needed (role, kind, object, privilege, place)
left join (
    pg_class c join pg_namespace n on n.oid = c.relnamespace
) on needed.kind = 'table' and needed.object = n.nspname || '.' || c.relname
where case needed.kind
    when 'table' then has_schema_privilege(needed.role, n.oid, 'usage')
        and case needed.privilege
            when 'insert' then has_any_column_privilege(needed.role, c.oid, 'insert')
            else has_table_privilege(needed.role, c.oid, needed.privilege) end
    else has_function_privilege(needed.role, to_regprocedure(needed.object), needed.privilege)
end is false
order by needed.place
"""

_EXCESS_RIGHTS = """
select format('%%s: %%s on %%I.%%I', role, p.privilege, n.nspname, c.relname)
from unnest(%(roles)s::text[]) as role
cross join pg_class c
join pg_namespace n on n.oid = c.relnamespace
cross join unnest(array['insert', 'update', 'delete', 'truncate']) as p (privilege)
where n.nspname in ('annotator', 'atlas') and c.relkind in ('r', 'p', 'v', 'm', 'f')
  and (
      n.nspname = 'atlas' or role <> %(daemon)s
      or c.relname in ('event', 'release', 'review', 'training_run')
  )
  and has_table_privilege(role, c.oid, p.privilege)
union all
select format('%%s: select on annotator.artefact', role)
from unnest(%(roles)s::text[]) as role
where role <> %(daemon)s
  and has_any_column_privilege(role, to_regclass('annotator.artefact'), 'select')
union all
select format('%%s: create in schema %%I', role, n.nspname)
from unnest(%(roles)s::text[]) as role
cross join pg_namespace n
where n.nspname in ('annotator', 'atlas') and has_schema_privilege(role, n.oid, 'create')
order by 1
"""


_OPEN_SCHEMAS = """
select n.nspname::text
from pg_namespace n
where n.nspname in ('annotator', 'atlas', 'public')
  and has_schema_privilege('public', n.oid, 'create')
order by 1
"""

_TRIGGERS_OFF = """
select format('%s on annotator.%s', needed.trigger, needed.relation)
from (values
    ('append_only', 'event'), ('only_steps', 'release'), ('only_steps', 'training_run')
) as needed (trigger, relation)
where not exists (
    select from pg_trigger t
    where t.tgrelid = to_regclass('annotator.' || needed.relation)
      and t.tgname = needed.trigger and t.tgenabled in ('O', 'A')
)
"""

_ROLE_SETTINGS = """
select format('%%s: %%s', r.rolname, given.setting)
from pg_db_role_setting s
join pg_roles r on r.oid = s.setrole
left join pg_database d on d.oid = s.setdatabase
cross join unnest(s.setconfig) as given (setting)
where r.rolname = any (%(roles)s) and coalesce(d.datname = current_database(), true)
order by 1
"""


def role_facts(conn: psycopg.Connection) -> RoleFacts:
    """Read facts about the login role and the group roles; schema ``annotator`` must exist."""
    row = conn.execute(
        "select session_user::text,"
        " (select rolsuper from pg_roles where rolname = session_user),"
        " coalesce((select pg_has_role(session_user, nspowner, 'usage') from pg_namespace"
        "  where nspname = 'annotator'), false),"
        " array(select rolname::text from pg_roles where rolname = any (%(roles)s)"
        "  and pg_has_role(session_user, oid, 'usage') order by 1),"
        " array(select rolname::text from pg_roles where rolname = any (%(roles)s))",
        {"roles": list(ROLES)},
    ).fetchone()
    assert row is not None
    user, is_superuser, owns_schema, acts_as, known = row
    needed = [list(column) for column in zip(*_NEEDED, strict=True)]
    missing_roles = tuple(role for role in ROLES if role not in known)
    missing: list[tuple[str]] = []
    if not missing_roles:
        missing = conn.execute(_MISSING_RIGHTS, needed).fetchall()
    names = {"roles": known, "daemon": DAEMON}
    excess, settings = (
        conn.execute(query, names).fetchall() for query in (_EXCESS_RIGHTS, _ROLE_SETTINGS)
    )
    schemas, triggers = (conn.execute(query).fetchall() for query in (_OPEN_SCHEMAS, _TRIGGERS_OFF))
    return RoleFacts(
        user,
        is_superuser,
        owns_schema,
        tuple(acts_as),
        missing_roles,
        *(
            tuple(text for (text,) in rows)
            for rows in (missing, excess, schemas, triggers, settings)
        ),
    )


def stored_files(conn: psycopg.Connection) -> tuple[StoredFiles, ...]:
    """Check the size and digest of every file of the live releases, in the database."""
    rows: list[Any] = conn.execute(
        "select r.release_id, r.field, count(a.name), coalesce(array_agg(a.name order by a.name)"
        "  filter (where a.size <> octet_length(a.content)"
        "   or a.sha256 <> encode(sha256(a.content), 'hex')"
        "   or a.sha256 is distinct from r.digests ->> a.name), '{}'), r.organism"
        " from annotator.release r left join annotator.artefact a using (release_id)"
        " where r.status = 'live' group by r.release_id, r.field"
        " order by r.field, r.organism"
    ).fetchall()
    return tuple(
        StoredFiles(release_id, field, files, tuple(damaged), organism)
        for release_id, field, files, damaged, organism in rows
    )


def has_mirror(conn: psycopg.Connection) -> bool:
    """Return whether any relation of the mirror exists."""
    found = conn.execute(
        "select from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = 'atlas' and c.relname = any (%s) limit 1",
        (list(MIRROR),),
    )
    return found.fetchone() is not None


_CONTRADICTING = """
select count(*)
from (
    select from atlas.annotation a
    where a.sample_id is not null
    group by a.sample_id, a.field
    having count(*) > 1 and count(distinct lower(btrim(coalesce(
        nullif(a.value::text, ''), a.numeric_value::text
    )))) > 1
) several
"""


def mirror_facts(conn: psycopg.Connection) -> MirrorFacts:
    """Read facts about the contents of the mirror; its columns must be right."""
    row = conn.execute(
        "select count(distinct s.sample_id), count(s.sample_id) - count(distinct s.sample_id),"
        " count(*) filter (where octet_length(s.sample_id::text) between 1 and %(most)s"
        "  is not true),"
        " count(*) filter (where octet_length(s.dataset_id::text) between 1 and %(most)s"
        "  is not true),"
        " count(*) filter (where s.updated_at is null),"
        " count(*) filter (where s.sample_id is not null and not exists ("
        "  select from atlas.expression e where e.sample_id = s.sample_id)),"
        " array(select distinct coalesce(f.kind::text, 'NULL') from atlas.feature f"
        "  where f.kind is null or f.kind::text not in ('srna', 'contaminant') order by 1)"
        " from atlas.sample s",
        {"most": LONGEST_NAME},
    ).fetchone()
    assert row is not None
    (contradicting,) = conn.execute(_CONTRADICTING).fetchone() or (0,)
    samples, repeated, without_id, without_dataset, timeless, unmeasured, strange_kinds = row
    return MirrorFacts(
        samples=samples,
        repeated=repeated,
        without_id=without_id,
        without_dataset=without_dataset,
        timeless=timeless,
        unmeasured=unmeasured,
        strange_kinds=tuple(strange_kinds),
        contradicting=contradicting,
    )


def datasets_of_samples(conn: psycopg.Connection) -> dict[str, str]:
    """Read the dataset of each sample of the mirror."""
    rows = conn.execute(
        "select sample_id::text, dataset_id::text from atlas.sample"
        " where sample_id is not null and dataset_id is not null order by 1, 2"
    ).fetchall()
    return dict(rows)


def clock_facts(conn: psycopg.Connection) -> ClockFacts:
    """Read the clock of the database, and the time of the latest event if there is a log."""
    row = conn.execute("select clock_timestamp()").fetchone()
    assert row is not None
    logged = conn.execute("select to_regclass('annotator.event') is not null").fetchone()
    latest = None
    if logged is not None and logged[0]:
        found = conn.execute("select max(at) from annotator.event").fetchone()
        latest = None if found is None else found[0]
    return ClockFacts(row[0], latest)
