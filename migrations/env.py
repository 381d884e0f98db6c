"""Run the migrations on the connection that the caller hands over."""

from __future__ import annotations

from alembic import context

from annotator.store.tables import METADATA

SCHEMA = METADATA.schema

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    version_table_schema=SCHEMA,
    target_metadata=METADATA,
    include_schemas=True,
    include_name=lambda name, kind, _parents: kind != "schema" or name == SCHEMA,
)

# One transaction for everything: a migration that fails leaves the database as it was.
with context.begin_transaction():
    connection.exec_driver_sql(f"create schema if not exists {SCHEMA}")
    context.run_migrations()
    version = f"{SCHEMA}.alembic_version"
    if connection.exec_driver_sql(f"select count(*) from {version}").scalar_one() == 0:
        connection.exec_driver_sql(f"drop table {version}")
        connection.exec_driver_sql(f"drop schema {SCHEMA}")
