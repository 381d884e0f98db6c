"""The JSON files of a field model: description, calibration, and selective prediction."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from msgspec import Meta

from annotator.domain.fields import Name
from annotator.domain.organisms import DEFAULT_ORGANISM
from annotator.errors import ArtefactError, NewerReleaseError
from annotator.learn.models.tensors import LARGEST_JSON, read_json, write_json
from annotator.plain_data import plain, typed

FORMAT = 5
FIRST_FORMAT = 4
"""The oldest format that can be read; in it only :data:`MODEL_FILE` has a format number."""

MODEL_FILE = "model.json"
CALIBRATION_FILE = "calibration.json"
POLICY_FILE = "trust.json"

Content = TypeVar("Content")
Text = Annotated[str, Meta(min_length=1, max_length=1000)]
Option = bool | int | float | str | None | list[bool | int | float | str]

MOST_TERMS = 4096
"""Largest number of classes and broader terms: answers compare all with one another."""


@dataclass(frozen=True)
class Description:
    """The attributes of a :class:`FieldModel` except its arrays."""

    field: Name
    classes: Annotated[tuple[Text, ...], Meta(min_length=2)]
    features: Annotated[tuple[Text, ...], Meta(min_length=1)]
    lineages: Mapping[str, Annotated[tuple[Text, ...], Meta(min_length=1)]]
    configuration: dict[str, Option | dict[str, Option]]
    usual_features: Annotated[float, Meta(ge=0)]
    number_half_width: Annotated[float, Meta(ge=0)] | None
    seed: int
    organism: Text = DEFAULT_ORGANISM

    def __post_init__(self) -> None:
        """Refuse names that are duplicate or cannot be stored, and lineages of other classes.

        Raises
        ------
        ValueError
            A name occurs twice or is not text in PostgreSQL, there are too many terms, the
            lineages are for other classes, or more features than there are are usual.
        """
        terms = {*self.classes, *itertools.chain(*self.lineages.values())}
        if len(terms) > MOST_TERMS:
            raise ValueError(f"{len(terms)} classes and terms, at most {MOST_TERMS} are allowed")
        if b"\0" in "".join((*terms, *self.features, self.organism)).encode():
            raise ValueError("a name contains the character NUL")
        if self.usual_features > len(self.features):
            raise ValueError("more features are usual than there are")
        for what in (self.classes, self.features, *self.lineages.values()):
            if len(set(what)) != len(what):
                raise ValueError("names are not distinct")
        if self.lineages.keys() != set(self.classes):
            raise ValueError("lineages do not match the classes")


def write_file(content: Any) -> bytes:
    """Write a dataclass as a JSON file with its format number."""
    return write_json({"format": FORMAT, **plain(content)})


def read_file(
    content: bytes, kind: type[Content], what: str, largest: int = LARGEST_JSON
) -> Content:
    """Read a JSON file of a release.

    Parameters
    ----------
    content
        The bytes of the file; attributes that were added later may be missing.
    kind
        The dataclass that is stored in it.
    what
        The name of the file, for messages.
    largest
        The largest number of bytes that is parsed.

    Raises
    ------
    ArtefactError
        The file is damaged, or has a format that is no longer read.
    NewerReleaseError
        The file has a format that is not read yet.
    """
    data = read_json(content, what, largest)
    number = data.pop("format", None if what == MODEL_FILE else FIRST_FORMAT)
    if isinstance(number, int) and number > FORMAT:
        raise NewerReleaseError(
            f"{what}: format {number}, this version reads {FIRST_FORMAT} to {FORMAT}; install the"
            " version that made it, or retrain the field"
        )
    if not isinstance(number, int) or number < FIRST_FORMAT:
        raise ArtefactError(
            f"{what}: format {number!r}, this version reads {FIRST_FORMAT} to {FORMAT};"
            " retrain the field"
        )
    try:
        return typed(data, kind)
    except ValueError as error:
        raise ArtefactError(f"{what}: {error}; retrain the field") from error
