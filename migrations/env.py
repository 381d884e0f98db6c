"""Run the migrations on the connection that the caller hands over."""

from __future__ import annotations

from alembic import context

SCHEMA = "annotator"

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table_schema=SCHEMA)

# One transaction for everything: a migration that fails leaves the database as it was.
with context.begin_transaction():
    connection.exec_driver_sql(f"create schema if not exists {SCHEMA}")
    context.run_migrations()
    version = f"{SCHEMA}.alembic_version"
    if connection.exec_driver_sql(f"select count(*) from {version}").scalar_one() == 0:
        connection.exec_driver_sql(f"drop table {version}")
        connection.exec_driver_sql(f"drop schema {SCHEMA}")
