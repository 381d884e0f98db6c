"""Load the models of live releases once and keep them while they are live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.errors import ArtefactError
from annotator.learn.release.files import read_model
from annotator.store.releases.artefacts import load_artefacts

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

    from annotator.explain.answer import AnswerExplainer
    from annotator.learn.release.field_model import FieldModel
    from annotator.store.releases.registry import LiveRelease


@dataclass(frozen=True, eq=False)
class LiveModel:
    """The models of a release, with their explainer."""

    release: LiveRelease
    model: FieldModel
    explainer: AnswerExplainer


class LiveModels:
    """Loads releases on first use and frees them when they are retired."""

    def __init__(self) -> None:
        self._loaded: dict[int, LiveModel] = {}

    def load(self, connection: psycopg.Connection, release: LiveRelease) -> LiveModel:
        """Return the models of a release; the artefacts are checked before they are parsed.

        Raises
        ------
        ArtefactError
            An artefact is damaged or not trusted, or belongs to another field or organism.
        """
        if release.release_id not in self._loaded:
            model = read_model(load_artefacts(connection, release.release_id))
            if model.field != release.field:
                raise ArtefactError(
                    f"release {release.release_id} of {release.field} holds models of"
                    f" {model.field}; retrain the field"
                )
            if model.organism != release.organism:
                raise ArtefactError(
                    f"release {release.release_id} of {release.field} is for {release.organism},"
                    f" but holds models of {model.organism}; retrain the field"
                )
            self._loaded[release.release_id] = LiveModel(release, model, model.explainer())
        return self._loaded[release.release_id]

    def keep_only(self, releases: Iterable[LiveRelease]) -> None:
        """Free the models of releases that are no longer live."""
        live = {release.release_id for release in releases}
        self._loaded = {
            release_id: loaded for release_id, loaded in self._loaded.items() if release_id in live
        }
