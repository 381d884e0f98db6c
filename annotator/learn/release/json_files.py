"""The JSON files of a field model: description, calibration, and selective prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from msgspec import Meta

from annotator.domain.fields import Name
from annotator.domain.organisms import DEFAULT_ORGANISM
from annotator.errors import ArtefactError
from annotator.learn.models.tensors import read_json, write_json
from annotator.plain_data import plain, typed

FORMAT = 5
FIRST_FORMAT = 4
"""The oldest format that can be read; in it only :data:`MODEL_FILE` has a format number."""

MODEL_FILE = "model.json"
CALIBRATION_FILE = "calibration.json"
POLICY_FILE = "trust.json"

Content = TypeVar("Content")
Text = Annotated[str, Meta(min_length=1)]


@dataclass(frozen=True)
class Description:
    """The attributes of a :class:`FieldModel` except its arrays."""

    field: Name
    classes: Annotated[tuple[Text, ...], Meta(min_length=2)]
    features: Annotated[tuple[Text, ...], Meta(min_length=1)]
    lineages: Mapping[str, Annotated[tuple[Text, ...], Meta(min_length=1)]]
    configuration: dict[str, Any]
    usual_features: Annotated[float, Meta(ge=0)]
    number_half_width: Annotated[float, Meta(ge=0)] | None
    seed: int
    organism: Text = DEFAULT_ORGANISM

    def __post_init__(self) -> None:
        """Refuse duplicate names, and lineages of other classes.

        Raises
        ------
        ValueError
            A name occurs twice, or the lineages are for other classes.
        """
        for what in (self.classes, self.features, *self.lineages.values()):
            if len(set(what)) != len(what):
                raise ValueError("names are not distinct")
        if self.lineages.keys() != set(self.classes):
            raise ValueError("lineages do not match the classes")


def write_file(content: Any) -> bytes:
    """Write a dataclass as a JSON file with its format number."""
    return write_json({"format": FORMAT, **plain(content)})


def read_file(content: bytes, kind: type[Content], what: str) -> Content:
    """Read a JSON file of a release.

    Parameters
    ----------
    content
        The bytes of the file; attributes that were added later may be missing.
    kind
        The dataclass that is stored in it.
    what
        The name of the file, for messages.

    Raises
    ------
    ArtefactError
        The file is damaged, or has a format that this version does not read.
    """
    data = read_json(content, what)
    number = data.pop("format", None if what == MODEL_FILE else FIRST_FORMAT)
    if not isinstance(number, int) or not FIRST_FORMAT <= number <= FORMAT:
        raise ArtefactError(
            f"{what}: format {number!r}, this version reads {FIRST_FORMAT} to {FORMAT};"
            " retrain the field"
        )
    try:
        return typed(data, kind)
    except ValueError as error:
        raise ArtefactError(f"{what}: {error}; retrain the field") from error
