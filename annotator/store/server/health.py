"""Facts about a server and a database, for whoever judges whether they are set up well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from annotator.store.server.schema import MIRROR, ROLES

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

DAEMON, CURATOR, READER = ROLES


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The server, as the connection sees it.

    ``read_only`` is true of a standby and where transactions are read-only by
    default; ``connections`` of ``maximum_connections`` are in use.
    """

    version: int
    version_text: str
    user: str
    database: str
    read_only: bool
    connections: int
    maximum_connections: int


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """Who we are, and what the group roles may.

    Attributes
    ----------
    user
        The role that logged in.
    is_superuser, owns_schema
        Whether it is, and whether schema ``annotator`` is its own.
    acts_as
        The group roles whose rights it has.
    missing_roles
        Group roles that the server does not know.
    missing_rights, excess_rights
        What a group role should be able to do and cannot, and the other way round,
        as ``role: right``.
    """

    user: str
    is_superuser: bool
    owns_schema: bool
    acts_as: tuple[str, ...]
    missing_roles: tuple[str, ...]
    missing_rights: tuple[str, ...]
    excess_rights: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """The stored models of one live release; ``damaged`` names files by wrong digests."""

    release_id: int
    field: str
    files: int
    damaged: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MirrorFacts:
    """What is in the mirror.

    ``repeated`` counts rows of atlas.sample beyond the first of each sample,
    ``timeless`` samples without ``updated_at``, and ``unmeasured`` samples without a
    row in atlas.expression; ``strange_kinds`` are kinds of features that nobody knows.
    """

    samples: int
    repeated: int
    timeless: int
    unmeasured: int
    strange_kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """The database's time now, and the latest time that it ever wrote down."""

    now: datetime
    latest_event: datetime | None


def server_facts(conn: psycopg.Connection) -> ServerFacts:
    """Read what the server says of itself."""
    row = conn.execute(
        "select current_setting('server_version_num')::int, current_setting('server_version'),"
        " session_user::text, current_database()::text,"
        " pg_is_in_recovery() or current_setting('default_transaction_read_only')::bool,"
        " (select count(*) from pg_stat_activity where backend_type = 'client backend'),"
        " current_setting('max_connections')::int"
    ).fetchone()
    assert row is not None
    return ServerFacts(*row)


# Enough of grants.sql to notice that it was not applied, or not to these objects.
_NEEDED = [
    *((role, "table", f"atlas.{name}", "select") for role in ROLES for name in MIRROR),
    *(
        (DAEMON, "table", f"annotator.{name}", "insert")
        for name in ("prediction", "class_contribution", "quarantine", "work", "event", "release")
    ),
    *((role, "table", "annotator.review_queue", "select") for role in (CURATOR, READER)),
    (CURATOR, "function", "annotator.accept_suggestion(bigint, text)", "execute"),
]

# What is not there at all is for others to say: rights on it are unknown, not missing.
_MISSING_RIGHTS = """
select format('%%s: %%s on %%s', needed.role, needed.privilege, needed.object)
from unnest(%s::text[], %s::text[], %s::text[], %s::text[])
    with ordinality as needed (role, kind, object, privilege, place)
left join (
    pg_class c join pg_namespace n on n.oid = c.relnamespace
) on needed.kind = 'table' and needed.object = n.nspname || '.' || c.relname
where case needed.kind
    when 'table' then has_schema_privilege(needed.role, n.oid, 'usage')
        and has_table_privilege(needed.role, c.oid, needed.privilege)
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
  and (n.nspname = 'atlas' or role <> %(daemon)s)
  and has_table_privilege(role, c.oid, p.privilege)
union all
select format('%%s: create in schema %%I', role, n.nspname)
from unnest(%(roles)s::text[]) as role
cross join pg_namespace n
where n.nspname in ('annotator', 'atlas') and has_schema_privilege(role, n.oid, 'create')
order by 1
"""


def role_facts(conn: psycopg.Connection) -> RoleFacts:
    """Read who we are and what the group roles may; schema ``annotator`` must be there."""
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
    excess = conn.execute(_EXCESS_RIGHTS, {"roles": known, "daemon": DAEMON}).fetchall()
    return RoleFacts(
        user,
        is_superuser,
        owns_schema,
        tuple(acts_as),
        missing_roles,
        tuple(right for (right,) in missing),
        tuple(right for (right,) in excess),
    )


def stored_files(conn: psycopg.Connection) -> tuple[StoredFiles, ...]:
    """Check the digest of every file of the live releases, in the database."""
    rows: list[Any] = conn.execute(
        "select r.release_id, r.field, count(a.name), coalesce(array_agg(a.name order by a.name)"
        "  filter (where a.size <> octet_length(a.content)"
        "   or a.sha256 <> encode(sha256(a.content), 'hex')), '{}')"
        " from annotator.release r left join annotator.artefact a using (release_id)"
        " where r.status = 'live' group by r.release_id, r.field order by r.field"
    ).fetchall()
    return tuple(
        StoredFiles(release_id, field, files, tuple(damaged))
        for release_id, field, files, damaged in rows
    )


def has_mirror(conn: psycopg.Connection) -> bool:
    """Say whether any relation of the mirror is there."""
    found = conn.execute(
        "select from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = 'atlas' and c.relname = any (%s) limit 1",
        (list(MIRROR),),
    )
    return found.fetchone() is not None


def mirror_facts(conn: psycopg.Connection) -> MirrorFacts:
    """Look at what is in the mirror; its columns must be right."""
    row = conn.execute(
        "select count(distinct s.sample_id), count(*) - count(distinct s.sample_id),"
        " count(*) filter (where s.updated_at is null),"
        " count(*) filter (where not exists ("
        "  select from atlas.expression e where e.sample_id = s.sample_id)),"
        " array(select distinct coalesce(f.kind::text, 'NULL') from atlas.feature f"
        "  where f.kind is null or f.kind::text not in ('srna', 'contaminant') order by 1)"
        " from atlas.sample s"
    ).fetchone()
    assert row is not None
    samples, repeated, timeless, unmeasured, strange_kinds = row
    return MirrorFacts(samples, repeated, timeless, unmeasured, tuple(strange_kinds))


def clock_facts(conn: psycopg.Connection) -> ClockFacts:
    """Read the clock of the database; the latest event only where there is a log."""
    row = conn.execute("select clock_timestamp()").fetchone()
    assert row is not None
    logged = conn.execute("select to_regclass('annotator.event') is not null").fetchone()
    latest = None
    if logged is not None and logged[0]:
        found = conn.execute("select max(at) from annotator.event").fetchone()
        latest = None if found is None else found[0]
    return ClockFacts(row[0], latest)
