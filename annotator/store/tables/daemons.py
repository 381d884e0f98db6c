"""Tables of the event log and the daemons."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from annotator.store.tables.base import METADATA

event = Table(
    "event",
    METADATA,
    Column("event_id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("kind", Text, nullable=False),
    Column("subject", Text),
    Column("detail", JSONB, nullable=False, server_default="{}"),
    Column("actor", Text, nullable=False, server_default=text("session_user")),
    Index("event_at", "at"),
)

heartbeat = Table(
    "heartbeat",
    METADATA,
    Column("worker", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("beat_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
)

lock = Table(
    "lock",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("pid", Integer),
    Column("role", Text),
    Column("session", Text),
    Column("taken_at", DateTime(timezone=True)),
    comment=(
        "Locks, as locks on rows; where pid is given, a session holds the lock until it ends."
    ),
)

tick = Table(
    "tick",
    METADATA,
    Column("job", Text, primary_key=True),
    Column("due_at", DateTime(timezone=True), primary_key=True),
    Column("worker", Text, nullable=False),
    Column("outcome", Text),
    Column("taken_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    comment=("Each due time of a scheduled job, taken by one daemon: none runs twice."),
)
