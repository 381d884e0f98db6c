"""The fields that can be predicted: the features their models see, and their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Any

from msgspec import Meta

from annotator.domain.terms import label_key
from annotator.domain.values.lengths import length_problem
from annotator.plain_data import plain, typed

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_ -]*$", max_length=63)]

OTHER_COLUMNS = ("sample_id", "dataset_id", "organism", "is_cell_line")
"""Columns of SAMPLES files that no field can be named after."""


class FeatureKind(StrEnum):
    """The kinds of features in the expression matrix."""

    SRNA = "srna"
    CONTAMINANT = "contaminant"


class LabelScheme(StrEnum):
    """The scheme by which the values of a field become classes."""

    ONTOLOGY = "ontology"
    CATEGORIES = "categories"
    INTERVALS = "intervals"


class Level(StrEnum):
    """The level of detail of the classes of an ontology field."""

    TERM = "term"
    GROUP = "group"


class Groups(StrEnum):
    """The source of the groups of ontology terms."""

    ONTOLOGY = "ontology"
    TABLE_2 = "table2"


def spelling_key(text: str) -> str:
    """Return what spellings of one value share: letter case and separators do not matter.

    Examples
    --------
    >>> spelling_key("Healthy_Control") == spelling_key("healthy control")
    True
    """
    return label_key(text).casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDefinition:
    """One kind of annotation that can be predicted.

    Attributes
    ----------
    name
        Its name in ``atlas.annotation.field`` and as a column of SAMPLES files.
    scheme
        The scheme by which values become classes.
    feature_kinds
        Kinds of the features that its models use (paper, section 2.1).
    known_fields
        Fields that may already be known for a sample and that predict this one
        by themselves; a release has to beat them.
    left_out_where
        Values per known field: samples with one of these values, or with a term below
        one, are neither learned from nor scored.
    vocabulary
        For categories: the allowed values, in the order of the classes.
    synonyms
        For categories: other spellings, each with its value; case does not matter. Those that
        are declared for a built-in field are added to its own.
    limits
        For intervals: their limits, ascending. Every interval includes its end, and the first
        one also its start.
    largest
        For intervals: the largest number that is accepted in a file; ``None`` for no limit.
    unit
        For intervals: the unit of the number, which may follow it; months, weeks and days are
        converted to years.
    level
        For an ontology: the most specific terms with enough samples, or groups of terms.
    groups
        For an ontology: the imported one (or the paper's Table 2 without one), or the
        paper's Table 2 on top of the imported one.
    columns
        Other names of its column in SAMPLES files, the most telling first; case and punctuation
        do not matter. Those that are declared for a built-in field are added to its own.
    """

    name: Name
    scheme: LabelScheme
    feature_kinds: Annotated[tuple[FeatureKind, ...], Meta(min_length=1)] = (FeatureKind.SRNA,)
    known_fields: tuple[str, ...] = ()
    left_out_where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    vocabulary: tuple[str, ...] = ()
    synonyms: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[float, ...] = ()
    largest: float | None = None
    unit: str = ""
    level: Level = Level.TERM
    groups: Groups = Groups.ONTOLOGY
    columns: tuple[Annotated[str, Meta(pattern=r"[^\W_]")], ...] = ()

    def __post_init__(self) -> None:
        """Check that the scheme has its classes.

        Raises
        ------
        ValueError
            Categories have no valid vocabulary or contradictory synonyms, intervals no ascending
            limits, or a property is given that the scheme does not have.
        """
        is_ontology = self.scheme is LabelScheme.ONTOLOGY
        categories = self.scheme is LabelScheme.CATEGORIES
        is_intervals = self.scheme is LabelScheme.INTERVALS
        if categories and len(self.vocabulary) < 2:
            raise ValueError("categories need a vocabulary of at least two values")
        if any(not each or each != each.strip() for each in self.vocabulary):
            raise ValueError("a value of the vocabulary is empty or has spaces around it")
        for each in (*self.vocabulary, *self.synonyms):
            if problem := length_problem(each):
                raise ValueError(f"a value or synonym is {problem}")
        values = {spelling_key(value): value for value in self.vocabulary}
        if len(values) < len(self.vocabulary):
            raise ValueError("values of the vocabulary differ in nothing but case or separators")
        if categories and (unknown := set(self.synonyms.values()) - set(self.vocabulary)):
            raise ValueError(
                f"{min(unknown)!r} has synonyms but is not in the vocabulary"
                ' (synonyms are written SPELLING = "VALUE")'
            )
        for spelling, value in self.synonyms.items():
            if not spelling_key(spelling):
                raise ValueError("a synonym is empty")
            if values.setdefault(spelling_key(spelling), value) != value:
                raise ValueError(f"{spelling!r} has two values")
        if not is_intervals and (self.limits or self.unit or self.largest is not None):
            raise ValueError("limits, unit and largest are only for intervals")
        if not categories and (self.vocabulary or self.synonyms):
            raise ValueError("a vocabulary and synonyms are only for categories")
        if not is_ontology and (self.level, self.groups) != (Level.TERM, Groups.ONTOLOGY):
            raise ValueError("level and groups are only for ontology")
        ascending = all(low < high for low, high in pairwise(self.limits))
        if is_intervals and (len(self.limits) < 3 or not ascending):
            raise ValueError("intervals need at least three limits in ascending order")


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
"""Organs from which the sex follows (nearly always for breast)."""


_BUILT_IN = (
    FieldDefinition(
        name="tissue",
        scheme=LabelScheme.ONTOLOGY,
        columns=(
            *("organ", "organism part", "tissue type", "body site", "tissue name", "organ tissue"),
            *("source tissue", "tissue source", "tissue of origin", "uberon tissue"),
        ),
    ),
    FieldDefinition(
        name="sex",
        scheme=LabelScheme.CATEGORIES,
        feature_kinds=(FeatureKind.SRNA, FeatureKind.CONTAMINANT),
        vocabulary=("female", "male"),
        synonyms={
            **dict.fromkeys(("f", "females", "woman", "women", "girl"), "female"),
            **dict.fromkeys(("m", "males", "man", "men", "boy"), "male"),
        },
        known_fields=("tissue",),
        left_out_where={"tissue": SEX_SPECIFIC_TISSUES},
        columns=(
            *("gender", "donor sex", "donor gender", "patient sex", "patient gender"),
            "sex gender",
        ),
    ),
    FieldDefinition(
        name="age",
        scheme=LabelScheme.INTERVALS,
        feature_kinds=(FeatureKind.SRNA, FeatureKind.CONTAMINANT),
        limits=(0.0, 65.0, 110.0),
        largest=130.0,
        unit="years",
        known_fields=("tissue",),
        columns=(
            *("donor age", "patient age", "age at collection", "age at diagnosis"),
            *("age at sampling", "age at donation", "age of donor", "subject age"),
        ),
    ),
)

FIELDS: Mapping[str, FieldDefinition] = MappingProxyType({each.name: each for each in _BUILT_IN})
"""The built-in fields; :attr:`annotator.settings.Settings.fields` can change and add fields."""


def column_names(fields: Mapping[str, FieldDefinition]) -> frozenset[str]:
    """Return the names that columns with values of the fields may have."""
    return frozenset(name for each in fields.values() for name in (each.name, *each.columns))


def declared_fields(given: Any) -> dict[str, FieldDefinition]:
    """Return the built-in fields with changes, and the declared fields.

    Parameters
    ----------
    given
        Properties by name of the field, as plain data: those that differ from the built-in
        field of that name, or those of a declared field.

    Raises
    ------
    ValueError
        A definition is incomplete or contradicts itself.
    """
    if not isinstance(given, dict):
        raise ValueError("Expected a table of fields")
    fields = dict(FIELDS)
    for name, properties in given.items():
        if not isinstance(properties, dict):
            raise ValueError(f"Expected a table at `{name}`")
        if name in OTHER_COLUMNS:
            raise ValueError(f"field {name}: files have another column of this name")
        if "name" in properties:
            raise ValueError(f"field {name}: a field has no 'name' but that of its table")
        try:
            fields[name] = typed({**_inherited(name, properties), "name": name}, FieldDefinition)
        except ValueError as error:
            raise ValueError(f"field {name}: {error}") from error
    for name, definition in fields.items():
        known = {*definition.known_fields}
        problem = None
        if name in known:
            problem = f"{name!r} cannot be a known field of itself"
        elif further := known - fields.keys():
            problem = f"{min(further)!r} in known_fields is no field; fields: {', '.join(fields)}"
        elif further := definition.left_out_where.keys() - known:
            problem = f"{min(further)!r} in left_out_where must also be in known_fields"
        if problem:
            raise ValueError(f"field {name}: {problem}")
    return fields


def _inherited(name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of a field with those of the built-in field of its name.

    What a declared property makes meaningless is not inherited.
    """
    known: dict[str, Any] = plain(FIELDS[name]) if name in FIELDS else {}
    if properties.get("scheme", known.get("scheme")) != known.get("scheme"):
        known = {}
    allowed = properties.get("known_fields")
    if isinstance(allowed, list) and "left_out_where" in known:
        known["left_out_where"] = {
            field: values for field, values in known["left_out_where"].items() if field in allowed
        }
    words = properties.get("vocabulary")
    if isinstance(words, list) and "synonyms" in known:
        values = {spelling_key(each) for each in words if isinstance(each, str)}
        known["synonyms"] = {
            spelling: value
            for spelling, value in known["synonyms"].items()
            if value in words and spelling_key(spelling) not in values
        }
    found = {**known, **properties}
    if isinstance(further := properties.get("synonyms"), dict):
        found["synonyms"] = {**known.get("synonyms", {}), **further}
    if isinstance(others := properties.get("columns"), list):
        found["columns"] = [*others, *known.get("columns", [])]
    return found
