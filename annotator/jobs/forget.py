"""Remove datasets from the mirror, and what was predicted and decided about them."""

from __future__ import annotations

import getpass
import socket
from dataclasses import asdict
from typing import TYPE_CHECKING

from annotator.domain.imports import ForgottenData
from annotator.domain.wording import some
from annotator.errors import InputError
from annotator.store.answers.forgetting import count_answers, retire_answers
from annotator.store.answers.review_queue import refresh_queue
from annotator.store.events import add_event
from annotator.store.mirror.importing import check_own_tables, wait_for_imports
from annotator.store.mirror.removal import count_datasets, missing_datasets, remove_datasets
from annotator.store.server.connection import check_writable
from annotator.store.server.schema import check_schema, hold_schema
from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from annotator.store.server.connection import Database


def what_would_go(database: Database, dataset_ids: Sequence[str]) -> ForgottenData:
    """Count what goes with some datasets; nothing is changed.

    Raises
    ------
    InputError
        The mirror does not have one of them.
    NeedsPersonError
        The mirror consists of views over another atlas, or the database accepts no changes.
    """
    with database.connect() as connection:
        check_schema(connection)
        check_writable(connection)
        return _find(connection, dataset_ids)


def forget(database: Database, dataset_ids: Sequence[str]) -> ForgottenData:
    """Remove datasets from the mirror, in one transaction; daemons may be running.

    Predictions are kept as history, decisions are undone, and releases that learned from
    the datasets stay as they are, with their reports.

    Parameters
    ----------
    database
        The database; its role must own the mirror.
    dataset_ids
        The datasets.

    Returns
    -------
    ForgottenData
        What went.

    Raises
    ------
    InputError
        The mirror does not have one of them; nothing was changed.
    NeedsPersonError
        The mirror consists of views over another atlas.
    """
    with database.connect() as connection:
        with committed(connection):
            hold_schema(connection)
            wait_for_imports(connection)
            found = _find(connection, dataset_ids)
            retire_answers(
                connection, found.datasets, f"forgotten with {', '.join(found.datasets)}"
            )
            remove_datasets(connection, found.datasets)
            add_event(connection, "forgotten", _subject(found), asdict(found) | _person())
        refresh_queue(connection)
    return found


def _find(connection: psycopg.Connection, dataset_ids: Sequence[str]) -> ForgottenData:
    check_own_tables(connection, "datasets cannot be removed here; remove them from that atlas")
    chosen = tuple(dict.fromkeys(dataset_ids))
    missing = missing_datasets(connection, chosen)
    if missing:
        raise InputError(
            f"the atlas has no dataset {some(missing, repr)}; nothing was"
            " removed: correct the name (atlas.dataset lists all of them)"
        )
    answers = count_answers(connection, chosen)
    samples, counts, annotations = count_datasets(connection, chosen)
    return ForgottenData(
        datasets=chosen,
        samples=samples,
        counts=counts,
        annotations=annotations,
        predictions=answers.predictions,
        decisions=answers.decisions,
        releases=answers.releases,
    )


def _subject(found: ForgottenData) -> str:
    return found.datasets[0] if len(found.datasets) == 1 else f"{len(found.datasets)} datasets"


def _person() -> dict[str, str]:
    """Return who removes them, because several people may share a role of the database."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in a container
        user = "unknown"
    return {"user": user, "host": socket.gethostname()}
