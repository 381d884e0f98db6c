"""The fields that can be predicted: the features their models see, and their labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class FeatureKind(StrEnum):
    """What a feature of the expression matrix counts."""

    SRNA = "srna"
    CONTAMINANT = "contaminant"


class LabelScheme(StrEnum):
    """How the values of a field become classes."""

    ONTOLOGY = "ontology"
    CATEGORIES = "categories"
    INTERVALS = "intervals"


@dataclass(frozen=True, slots=True)
class FieldDefinition:
    """One kind of annotation that can be predicted.

    Attributes
    ----------
    name
        As it stands in ``atlas.annotation.field``.
    feature_kinds
        Which features its models may see (paper, section 2.1).
    scheme
        How values become classes.
    vocabulary
        The allowed values, for a field of plain categories.
    known_fields
        Fields that may already be known for a sample and that predict this one
        by themselves; a release has to beat them.
    left_out_where
        Known field to values: samples with one of them, or with a term below one,
        are neither learned from nor scored.
    """

    name: str
    feature_kinds: tuple[FeatureKind, ...]
    scheme: LabelScheme
    vocabulary: tuple[str, ...] = ()
    known_fields: tuple[str, ...] = ()
    left_out_where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


SEX_SPECIFIC_TISSUES = (
    "breast",
    "cervix",
    "endometrium",
    "epididymis",
    "fallopian tube",
    "female reproductive system",
    "foreskin",
    "male reproductive system",
    "mammary gland",
    "myometrium",
    "ovary",
    "oviduct",
    "penis",
    "placenta",
    "prostate",
    "prostate gland",
    "semen",
    "seminal plasma",
    "seminal vesicle",
    "sperm",
    "testis",
    "uterine cervix",
    "uterine endometrium",
    "uterus",
    "vagina",
    "vulva",
)
"""Organs that give sex away by themselves (breast nearly so)."""


FIELDS: Mapping[str, FieldDefinition] = {
    definition.name: definition
    for definition in (
        FieldDefinition("tissue", (FeatureKind.SRNA,), LabelScheme.ONTOLOGY),
        FieldDefinition(
            "sex",
            (FeatureKind.SRNA, FeatureKind.CONTAMINANT),
            LabelScheme.CATEGORIES,
            vocabulary=("female", "male"),
            known_fields=("tissue",),
            left_out_where={"tissue": SEX_SPECIFIC_TISSUES},
        ),
        FieldDefinition(
            "age",
            (FeatureKind.SRNA, FeatureKind.CONTAMINANT),
            LabelScheme.INTERVALS,
            known_fields=("tissue",),
        ),
    )
}
