"""Load the models of live releases once and keep them while they are live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.errors import ArtefactError
from annotator.explain.answer import explainer_on
from annotator.jobs.annotate.worker import worker_name
from annotator.learn.release.files import read_model
from annotator.store.releases.artefacts import load_artefacts
from annotator.store.releases.loading import recorded_loading

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

    from annotator.domain.releases import Artefact
    from annotator.explain.answer import AnswerExplainer
    from annotator.gpu import Device
    from annotator.learn.release.field_model import FieldModel
    from annotator.store.releases.registry import LiveRelease


@dataclass(frozen=True, eq=False)
class LiveModel:
    """The models of a release, with their explainer."""

    release: LiveRelease
    model: FieldModel
    explainer: AnswerExplainer


def live_model(
    release: LiveRelease, artefacts: Sequence[Artefact], device: Device = "cpu"
) -> LiveModel:
    """Return the models of a release from its artefacts; networks are explained on the device.

    Raises
    ------
    ArtefactError
        An artefact is damaged, or belongs to another field or organism.
    """
    model = read_model(artefacts, release.classes, release.features)
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
    return LiveModel(release, model, explainer_on(device, model.explainer()))


class LiveModels:
    """Loads releases on first use and frees them when they are retired."""

    def __init__(self, device: Device = "cpu") -> None:
        self._device = device
        self._loaded: dict[int, LiveModel] = {}
        self._process = worker_name()

    def load(self, connection: psycopg.Connection, release: LiveRelease) -> LiveModel:
        """Return the models of a release; the artefacts are checked before they are parsed.

        Raises
        ------
        ArtefactError
            An artefact is damaged or not trusted, or belongs to another field or organism,
            or loading the release ended earlier processes.
        """
        if release.release_id not in self._loaded:
            with recorded_loading(connection, release.release_id, self._process):
                artefacts = load_artefacts(connection, release.release_id)
                self._loaded[release.release_id] = live_model(release, artefacts, self._device)
        return self._loaded[release.release_id]

    def keep_only(self, releases: Iterable[LiveRelease]) -> None:
        """Free the models of releases that are no longer live."""
        live = {release.release_id for release in releases}
        self._loaded = {
            release_id: loaded for release_id, loaded in self._loaded.items() if release_id in live
        }
