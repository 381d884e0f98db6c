"""Load the live release of a field, or its fallback release if the live one is damaged."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from annotator.errors import ArtefactError, NewerReleaseError
from annotator.store.releases import lifecycle
from annotator.store.releases.registry import earlier_releases, live_release

if TYPE_CHECKING:
    import psycopg

    from annotator.jobs.annotate.live_models import LiveModels
    from annotator.store.releases.registry import LiveRelease

logger = logging.getLogger(__name__)


def fallback_release(
    connection: psycopg.Connection, models: LiveModels, release: LiveRelease
) -> LiveRelease:
    """Load a live release, or replace a damaged one with the newest earlier one that loads.

    The earlier release passed the gate when it went live, and is loaded, and thereby
    checked, before anything changes. If none loads, only the event log and the training
    run change. A release of a newer version stays live for the versions that can read it.

    Parameters
    ----------
    connection
        Connection; transactions are committed.
    models
        The loaded models, which the release is added to.
    release
        A live release.

    Returns
    -------
    LiveRelease
        The release that is now live, with its models loaded.

    Raises
    ------
    ArtefactError
        The release is damaged and there is no fallback release.
    NewerReleaseError
        The release is not for this version.
    """
    try:
        models.load(connection, release)
    except NewerReleaseError:
        raise
    except ArtefactError as error:
        reason = str(error)
        for earlier in earlier_releases(connection, release.field, release.organism):
            try:
                models.load(connection, earlier)
            except ArtefactError as also:
                logger.warning("an earlier release cannot be loaded either: %s", also)
                continue
            if lifecycle.reinstate(connection, release, earlier.release_id, reason):
                logger.error("%s; release %d is live again", reason, earlier.release_id)
            return _now_live(connection, models, release)
        if lifecycle.record_damage(connection, release, reason):
            logger.error("%s; %s has no fallback release", reason, release.field)
        raise
    return release


def _now_live(
    connection: psycopg.Connection, models: LiveModels, before: LiveRelease
) -> LiveRelease:
    """Return the release that is live after the change, whichever worker made it."""
    live = live_release(connection, before.field, before.organism)
    if live is None:
        raise ArtefactError(f"no release of {before.field} is live any more; retrain the field")
    models.load(connection, live)
    return live
