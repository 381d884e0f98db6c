"""Check that every role has the rights it needs, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.domain.wording import some
from annotator.jobs.watch.doctor.findings import Finding, good, warning, wrong
from annotator.store.server.health import DAEMON, role_facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

SUBJECT = "roles"


def check_roles(connection: psycopg.Connection, *, embedded: bool) -> Iterator[Finding]:
    """Check the group roles and the role that this process logged in as.

    Parameters
    ----------
    connection
        Connection to a database with schema ``annotator``.
    embedded
        Whether the server is the embedded one: this user is its superuser, and nobody
        else has access.
    """
    facts = role_facts(connection)
    if facts.missing_roles:
        statements = " ".join(f"create role {role} nologin;" for role in facts.missing_roles)
        yield wrong(
            SUBJECT,
            f"the server lacks {', '.join(facts.missing_roles)}",
            f"run `annotator migrate`, or ask an administrator to run: {statements}",
        )
    if facts.missing_rights:
        yield wrong(
            SUBJECT,
            f"rights are missing: {some(facts.missing_rights, joint='; ')}",
            "run `annotator migrate` as the owner of the database, which grants them again; rights"
            " on an atlas of your own must be granted by its owner",
        )
    if facts.excess_rights:
        yield wrong(
            SUBJECT,
            f"rights are too wide: {some(facts.excess_rights, joint='; ')}",
            "revoke them (`annotator migrate` revokes those on annotator); also look for grants to"
            " PUBLIC",
        )
    if facts.triggers_off:
        yield wrong(
            SUBJECT,
            f"history can be changed: these triggers are off: {some(facts.triggers_off)}",
            "as the owner, run: alter table … enable trigger …; if one is gone, restore a backup",
        )
    if facts.open_schemas:
        yield warning(
            SUBJECT,
            f"everybody may create objects in schema {some(facts.open_schemas)}",
            f"run as an administrator: revoke create on schema {', '.join(facts.open_schemas)}"
            " from public;",
        )
    if facts.role_settings:
        yield warning(
            SUBJECT,
            f"roles have settings of their own: {some(facts.role_settings)}",
            "run `annotator migrate` as a role that may alter them, which resets them",
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
            f"create a separate role for daemons: create role … login in role {DAEMON}",
        )
    acting = ", ".join(facts.acts_as) or "owner"
    yield good(SUBJECT, f"logged in as {facts.user}, with the rights of {acting}")
