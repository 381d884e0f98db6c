"""Whether everybody may do what they need to, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.jobs.watch.doctor.findings import Finding, good, warning, wrong
from annotator.store.server.health import DAEMON, role_facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg

SUBJECT = "roles"


def check_roles(connection: psycopg.Connection, *, embedded: bool) -> Iterator[Finding]:
    """Look at the group roles and at the role that we logged in as.

    Parameters
    ----------
    connection
        To a database with schema ``annotator``.
    embedded
        Whether the server is our own: we are its superuser, and nobody else gets in.
    """
    facts = role_facts(connection)
    if facts.missing_roles:
        statements = " ".join(f"create role {role} nologin;" for role in facts.missing_roles)
        yield wrong(
            SUBJECT,
            f"the server lacks {', '.join(facts.missing_roles)}",
            f"run `annotator migrate`, or let an administrator run: {statements}",
        )
    if facts.missing_rights:
        yield wrong(
            SUBJECT,
            f"rights are missing: {_some(facts.missing_rights)}",
            "run `annotator migrate` as the owner of the database: it grants them again; rights on"
            " an atlas of your own are for its owner to grant",
        )
    if facts.excess_rights:
        yield wrong(
            SUBJECT,
            f"rights are too wide: {_some(facts.excess_rights)}",
            "revoke them (on annotator, `annotator migrate` does); look for grants to PUBLIC, too",
        )
    if not facts.acts_as and not facts.owns_schema:
        yield wrong(
            SUBJECT,
            f"role {facts.user} has none of the group roles",
            f'run as an administrator: grant {DAEMON} to "{facts.user}"',
        )
    elif facts.is_superuser and not embedded:
        yield warning(
            SUBJECT,
            f"{facts.user} is a superuser",
            f"let daemons log in as a role of their own: create role … login in role {DAEMON}",
        )
    acting = ", ".join(facts.acts_as) or "owner"
    yield good(SUBJECT, f"logged in as {facts.user}, with the rights of {acting}")


def _some(rights: Sequence[str], most: int = 5) -> str:
    rest = f" and {len(rights) - most} more" if len(rights) > most else ""
    return "; ".join(rights[:most]) + rest
