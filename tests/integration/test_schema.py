from __future__ import annotations

from annotator.store.connection import Database


def test_database(database: Database) -> None:
    with database.connect() as connection:
        assert connection.execute("select 1 from annotator.suggestion").fetchall() == []


def test_database2(database: Database) -> None:
    with database.connect() as connection:
        assert connection.execute("select 1 from annotator.suggestion").fetchall() == []
