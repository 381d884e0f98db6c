"""A release that can be loaded: the live one, or the one before it where that is damaged."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from annotator.errors import ArtefactError
from annotator.store.releases import damage
from annotator.store.releases.registry import earlier_releases, live_release

if TYPE_CHECKING:
    import psycopg

    from annotator.jobs.annotate.live_models import LiveModels
    from annotator.store.releases.registry import LiveRelease

logger = logging.getLogger(__name__)


def fallback_release(
    connection: psycopg.Connection, models: LiveModels, release: LiveRelease
) -> LiveRelease:
    """Load a live release, or put the newest earlier one that is sound in its place.

    The earlier release passed the gate when it went live, and is loaded, so checked,
    before anything changes. Where none is sound nothing but the event log and the
    training run changes: a release of a format that this version does not know stays
    live for the version that does.

    Parameters
    ----------
    connection
        Connection; transactions are committed.
    models
        Where it is loaded.
    release
        The live release of a field.

    Returns
    -------
    LiveRelease
        The release that is live now; its models are loaded.

    Raises
    ------
    ArtefactError
        The release is damaged and no earlier one is sound.
    """
    try:
        models.load(connection, release)
    except ArtefactError as error:
        reason = str(error)
        for earlier in earlier_releases(connection, release.field):
            try:
                models.load(connection, earlier)
            except ArtefactError as also:
                logger.warning("an earlier release does not serve either: %s", also)
                continue
            if damage.reinstate(connection, release, earlier.release_id, reason):
                logger.error("%s; release %d serves again", reason, earlier.release_id)
            return _now_live(connection, models, release.field)
        if damage.record_damage(connection, release, reason):
            logger.error("%s; no earlier release of %s is sound", reason, release.field)
        raise
    return release


def _now_live(connection: psycopg.Connection, models: LiveModels, field: str) -> LiveRelease:
    """Return what is live after the change, by whoever made it."""
    live = live_release(connection, field)
    if live is None:
        raise ArtefactError(f"no release of {field} is live any more; retrain the field")
    models.load(connection, live)
    return live
