"""Values of annotations as people write them, in files and behind views alike."""

from __future__ import annotations

import math
import sys
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from annotator.domain.fields import FieldDefinition, LabelScheme, spelling_key
from annotator.domain.values.intervals import Interval, interval_around, interval_names, interval_of
from annotator.domain.values.lengths import LONGEST_NAME, length_problem
from annotator.domain.values.missing import is_missing
from annotator.domain.values.written_numbers import AmbiguousNumberError, read_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

EXAMPLES = 5
"""Number of different values that a :class:`UnusedValues` names."""


class Problem(StrEnum):
    """The reasons why a value is not used."""

    MISSING = "missing"
    NOT_IN_VOCABULARY = "not in vocabulary"
    NOT_A_NUMBER = "not a number"
    TOO_LONG = "too long"
    AMBIGUOUS_COMMA = "ambiguous comma"
    TOO_SMALL = "too small"
    TOO_LARGE = "too large"
    OUTSIDE_LIMITS = "outside limits"
    SEVERAL_CLASSES = "several classes"
    IMPORT_AGAIN = "import again"


IN_NO_CLASS = (Problem.OUTSIDE_LIMITS, Problem.SEVERAL_CLASSES)
"""Problems of values that are understood but belong to no class."""


def describe(problem: Problem, definition: FieldDefinition) -> str:
    """Return a problem in words, for the end of a sentence about the value."""
    of_unit = f" of {definition.unit}" if definition.unit else ""
    limits = definition.limits or (0.0,)
    names = interval_names(limits)
    between = f"{names[0]} to {names[-1]}" if names else "the limits"
    return {
        Problem.MISSING: "means that the value is missing",
        Problem.NOT_IN_VOCABULARY: (
            f"none of {', '.join(definition.vocabulary)}; add such values to the synonyms or"
            f" vocabulary of [fields.{definition.name}] in annotator.toml, and import their files"
            " again"
        ),
        Problem.NOT_A_NUMBER: f"neither a number{of_unit} nor an interval such as 20-30 or >89",
        Problem.TOO_LONG: f"longer than {LONGEST_NAME:,} bytes",
        Problem.AMBIGUOUS_COMMA: "the comma may separate decimals or thousands",
        Problem.TOO_SMALL: f"less than {_smallest(definition):g}",
        Problem.TOO_LARGE: f"more than {_largest(definition):g}; is it in another unit?",
        Problem.OUTSIDE_LIMITS: f"outside the intervals {between}",
        Problem.SEVERAL_CLASSES: f"in more than one of the intervals {between}",
        Problem.IMPORT_AGAIN: "understood since the settings changed; import the file again",
    }[problem]


def _smallest(definition: FieldDefinition) -> float:
    return min(definition.limits[0], 0.0) if definition.limits else 0.0


def _largest(definition: FieldDefinition) -> float:
    if definition.largest is None:
        return sys.float_info.max
    return max((definition.largest, *definition.limits))  # no class is out of reach


@dataclass(frozen=True, slots=True)
class ReadValue:
    """A value as it was understood.

    Attributes
    ----------
    value
        The value as it is stored, ``""`` if there is a problem. Reading it again gives the same.
    number
        The number, if the field has intervals and the value is one number.
    problem
        The reason why the value cannot be understood, ``None`` if it can.
    """

    value: str = ""
    number: float | None = None
    problem: Problem | None = None


class ValueReader:
    """Reader of the values of one field.

    A value of the vocabulary is never a word for a missing value, whatever it is in other fields.

    Parameters
    ----------
    definition
        The field.

    Examples
    --------
    >>> from annotator.domain.fields import FIELDS
    >>> ValueReader(FIELDS["sex"]).read("M").value
    'male'
    >>> ValueReader(FIELDS["age"]).read("35 years")
    ReadValue(value='35', number=35.0, problem=None)
    >>> ValueReader(FIELDS["age"]).class_of(">89")
    ('(65;110]', None)
    """

    def __init__(self, definition: FieldDefinition) -> None:
        self.definition = definition
        self._spellings = _spellings(definition)
        self._read: dict[str, tuple[ReadValue, Interval | None]] = {}

    def read(self, text: str) -> ReadValue:
        """Read a value; spaces around it are ignored. Nothing is raised whatever the text."""
        return self._understood(text)[0]

    def class_of(self, text: str, number: float | None = None) -> tuple[str | None, Problem | None]:
        """Return the class of a value before classes with few samples are dropped.

        Parameters
        ----------
        text
            The value.
        number
            The number behind it, if it is stored; it takes precedence over the text.

        Returns
        -------
        name : str or None
            The class; for an ontology the value itself.
        problem : Problem or None
            The reason if there is no class.
        """
        limits = self.definition.limits
        if self.definition.scheme is not LabelScheme.INTERVALS:
            found = self.read(text)
            return (None, found.problem) if found.problem else (found.value, None)
        interval = None
        if number is None or not math.isfinite(number):
            found, interval = self._understood(text)
            if found.problem is not None:
                return None, found.problem
            number = found.number
        if interval is not None:
            name = interval_around(interval, limits)
            return name, None if name else _beyond(interval, limits)
        assert number is not None
        name = interval_of(number, limits)
        return name, None if name else Problem.OUTSIDE_LIMITS

    def _understood(self, text: str) -> tuple[ReadValue, Interval | None]:
        if text not in self._read:
            self._read[text] = self._read_anew(text.strip())
        return self._read[text]

    def _read_anew(self, text: str) -> tuple[ReadValue, Interval | None]:
        spelling = self._spellings.get(spelling_key(text))
        if spelling is not None:
            return ReadValue(spelling), None
        if is_missing(text):
            return ReadValue(problem=Problem.MISSING), None
        if length_problem(text):
            return ReadValue(problem=Problem.TOO_LONG), None
        if self.definition.scheme is LabelScheme.CATEGORIES:
            return ReadValue(problem=Problem.NOT_IN_VOCABULARY), None
        if self.definition.scheme is LabelScheme.INTERVALS:
            return self._number(text)
        return ReadValue(text), None

    def _number(self, text: str) -> tuple[ReadValue, Interval | None]:
        try:
            found = read_number(text, self.definition.unit)
        except AmbiguousNumberError:
            return ReadValue(problem=Problem.AMBIGUOUS_COMMA), None
        except ValueError:
            return ReadValue(problem=Problem.NOT_A_NUMBER), None
        except OverflowError as error:
            is_small = str(error).startswith("-")
            return ReadValue(problem=Problem.TOO_SMALL if is_small else Problem.TOO_LARGE), None
        ends = (found.low, found.high) if isinstance(found, Interval) else (found,)
        given = [end for end in ends if math.isfinite(end)]
        if min(given) < _smallest(self.definition):
            return ReadValue(problem=Problem.TOO_SMALL), None
        if max(given) > _largest(self.definition):
            return ReadValue(problem=Problem.TOO_LARGE), None
        if isinstance(found, Interval):
            return ReadValue(found.name), found
        # 58 and 58.0 are stored alike, so that importing either again changes nothing.
        return ReadValue(repr(found).removesuffix(".0"), found), None


def _spellings(definition: FieldDefinition) -> Mapping[str, str]:
    """Return the value of each :func:`spelling_key`; values precede synonyms."""
    if definition.scheme is not LabelScheme.CATEGORIES:
        return {}
    synonyms = {spelling_key(other): value for other, value in definition.synonyms.items()}
    return synonyms | {spelling_key(value): value for value in definition.vocabulary}


def _beyond(interval: Interval, limits: tuple[float, ...]) -> Problem:
    """Return why an interval is not within one interval between limits."""
    low = limits[0] if math.isinf(interval.low) else interval.low
    high = limits[-1] if math.isinf(interval.high) else interval.high
    is_inside = limits[0] <= low < high <= limits[-1]
    return Problem.SEVERAL_CLASSES if is_inside else Problem.OUTSIDE_LIMITS


def declared_words(fields: Mapping[str, FieldDefinition]) -> frozenset[tuple[str, str, str]]:
    """Return the field, spelling and value of every declared value and synonym."""
    return frozenset(
        (name, spelling, value)
        for name, definition in fields.items()
        for spelling, value in _spellings(definition).items()
    )


@dataclass(frozen=True, slots=True)
class UnusedValues:
    """Values that are not used for one reason.

    Attributes
    ----------
    problem, reason
        The reason, and the same in words.
    count
        Number of annotations.
    examples
        The most frequent values with their counts, at most :data:`EXAMPLES`.
    further
        Number of other different values.
    """

    problem: Problem
    reason: str
    count: int
    examples: tuple[tuple[str, int], ...]
    further: int


@dataclass(frozen=True, slots=True)
class ValueUse:
    """How many values of a field are used, and why the others are not.

    Attributes
    ----------
    field
        The name of the field.
    used
        Number of annotations with a value that belongs to a class.
    unused
        The others, the most frequent reason first.
    """

    field: str
    used: int
    unused: tuple[UnusedValues, ...] = ()

    @property
    def not_used(self) -> int:
        """Number of annotations whose value is not used."""
        return sum(each.count for each in self.unused)

    @property
    def missing(self) -> int:
        """Number of annotations whose value is a word for a missing value."""
        return self._count(lambda problem: problem is Problem.MISSING)

    @property
    def not_understood(self) -> int:
        """Number of annotations with another text that cannot be stored as a value."""
        return self._count(lambda problem: problem not in (Problem.MISSING, *IN_NO_CLASS))

    def _count(self, is_counted: Callable[[Problem], bool]) -> int:
        return sum(each.count for each in self.unused if is_counted(each.problem))

    @property
    def given(self) -> int:
        """Number of annotations."""
        return self.used + self.not_used


def value_use(
    definition: FieldDefinition,
    counted: Iterable[tuple[str | None, float | None, int]],
    kept: Iterable[tuple[str | None, int]] = (),
) -> ValueUse:
    """Count the values of a field that are used, and those that are not.

    Parameters
    ----------
    definition
        The field.
    counted
        Values with the number behind each, if there is one, and how often they occur. Blank
        values without a number are not counted.
    kept
        Values that an import did not understand and kept as attributes, and how often they
        occur: none of them is used, even if it would be understood now.
    """
    reader = ValueReader(definition)
    used = 0
    unused: dict[Problem, Counter[str]] = {}
    for text, number, count in counted:
        has_number = number is not None and math.isfinite(number)
        shown = (text or "").strip() or (f"{number:g}" if has_number else "")
        if not shown:
            continue
        _, problem = reader.class_of(shown, number)
        if problem is None:
            used += count
        else:
            unused.setdefault(problem, Counter())[shown] += count
    for text, count in kept:
        if shown := (text or "").strip():
            problem = reader.class_of(shown)[1] or Problem.IMPORT_AGAIN
            unused.setdefault(problem, Counter())[shown] += count
    found = [
        UnusedValues(
            problem,
            describe(problem, definition),
            values.total(),
            tuple(sorted(values.items(), key=lambda each: (-each[1], each[0]))[:EXAMPLES]),
            max(0, len(values) - EXAMPLES),
        )
        for problem, values in unused.items()
    ]
    return ValueUse(
        definition.name,
        used,
        tuple(sorted(found, key=lambda each: (-each.count, each.problem))),
    )
