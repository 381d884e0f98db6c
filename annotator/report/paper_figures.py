"""The values that the paper reports, for comparison with a release of the same field.

Fiosina, Fiosins and Bonn: Explainable deep learning for augmentation of small RNA
expression profiles (J. Comput. Biol. 2020): 4,243 samples of the atlas SEA. Its deep
learning is the kind ``network``, its random forest ``forest``; where its abstract and
its text differ in the last digit, the text's is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from annotator.domain.held_out import CROSS_VALIDATION, ONE_DATASET_OUT
from annotator.domain.organisms import DEFAULT_ORGANISM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from annotator.report.contents import ReportContents


@dataclass(frozen=True, slots=True)
class PaperAccuracy:
    """One accuracy of the paper.

    Attributes
    ----------
    field
        ``tissue``, ``sex`` or ``age``.
    scheme
        ``cv`` or ``one-dataset-out``.
    model_kind
        ``network`` or ``forest``.
    metric
        Our figure that it compares with: ``accuracy``, or ``mean_over_classes``
        for an average over tissue groups.
    value
        The share that is right.
    section
        Where the paper says so.
    classes
        The number of classes it is for, where that was fixed.
    smallest_class
        The number of samples that every class had at least, if the paper states it.
    of_groups
        Whether the classes are the groups of tissues of the paper's Table 2.
    """

    field: str
    scheme: str
    model_kind: str
    metric: str
    value: float
    section: str
    classes: int | None = None
    smallest_class: int | None = None
    of_groups: bool = False


def _of_groups(
    scheme: str, kind: str, metric: str, value: float, figure: int, smallest: int | None = None
) -> PaperAccuracy:
    section = f"3.1.1, Fig. {figure}"
    return PaperAccuracy(
        "tissue", scheme, kind, metric, value, section, smallest_class=smallest, of_groups=True
    )


PAPER_ACCURACIES: Final = (
    PaperAccuracy("tissue", CROSS_VALIDATION, "network", "accuracy", 0.965, "abstract"),
    _of_groups(CROSS_VALIDATION, "network", "accuracy", 0.97, 2, smallest=9),
    _of_groups(CROSS_VALIDATION, "forest", "accuracy", 0.85, 2, smallest=9),
    _of_groups(CROSS_VALIDATION, "network", "accuracy", 0.98, 3, smallest=15),
    _of_groups(CROSS_VALIDATION, "forest", "accuracy", 0.92, 3, smallest=15),
    _of_groups(ONE_DATASET_OUT, "network", "mean_over_classes", 0.831, 4),
    _of_groups(ONE_DATASET_OUT, "forest", "mean_over_classes", 0.807, 4),
    PaperAccuracy("sex", CROSS_VALIDATION, "network", "accuracy", 0.77, "3.2, Fig. 6", classes=2),
    PaperAccuracy("sex", CROSS_VALIDATION, "forest", "accuracy", 0.769, "3.2, Fig. 6", classes=2),
    PaperAccuracy("age", CROSS_VALIDATION, "network", "accuracy", 0.771, "3.3", classes=2),
    PaperAccuracy("age", CROSS_VALIDATION, "forest", "accuracy", 0.758, "3.3", classes=2),
    PaperAccuracy("age", CROSS_VALIDATION, "network", "accuracy", 0.635, "3.3", classes=4),
    PaperAccuracy("age", CROSS_VALIDATION, "forest", "accuracy", 0.575, "3.3", classes=4),
)

PAPER_STEPS: Final[Mapping[tuple[str, str, str], float]] = MappingProxyType(
    {
        ("sex", "female", "male"): 15.9,
        ("sex", "male", "female"): 13.7,
        ("age", "[0;65]", "(65;110]"): 8.6,
        ("age", "(65;110]", "[0;65]"): 15.0,
    }
)
"""Field, class and rival to the mean number of removed sRNAs (3.4.3, Table 5)."""


PAPER_ABLATION: Final[Mapping[tuple[str, int, str, str], float]] = MappingProxyType(
    {
        ("sex", 2, "both", "network"): 0.77,
        ("sex", 2, "both", "forest"): 0.769,
        ("sex", 2, "sRNAs", "network"): 0.762,
        ("sex", 2, "sRNAs", "forest"): 0.762,
        ("sex", 2, "contaminants", "network"): 0.762,
        ("sex", 2, "contaminants", "forest"): 0.76,
        ("age", 2, "both", "network"): 0.771,
        ("age", 2, "sRNAs", "network"): 0.764,
        ("age", 2, "contaminants", "network"): 0.764,
        ("age", 4, "both", "network"): 0.635,
        ("age", 4, "sRNAs", "network"): 0.632,
        ("age", 4, "contaminants", "network"): 0.632,
    }
)
"""Field, number of classes, features and model kind to the accuracy in 5-fold cross-validation
(3.2 and 3.3, Fig. 5 to 7; values that the text rounds or gives for several models at once, and
of the forest for age only the best of the three: :data:`PAPER_ACCURACIES`)."""


def paper_accuracies(
    field: str, class_sizes: Sequence[int], *, of_groups: bool
) -> Mapping[tuple[str, str, str], PaperAccuracy]:
    """Return what the paper has for a field like this.

    Parameters
    ----------
    field
        Name of the field.
    class_sizes
        How many labelled samples each class has.
    of_groups
        Whether the classes are groups of tissues. The paper's metrics of groups are for
        these alone.

    Returns
    -------
    mapping
        Scheme, metric and model kind to the accuracy. Of those for different smallest
        classes the strictest that the classes meet; of those for a number of classes
        only the one for as many.
    """
    found: dict[tuple[str, str, str], PaperAccuracy] = {}
    smallest = min(class_sizes, default=0)
    for fact in PAPER_ACCURACIES:
        same = fact.field == field and fact.classes in (None, len(class_sizes))
        if same and fact.of_groups <= of_groups and (fact.smallest_class or 0) <= smallest:
            found[fact.scheme, fact.metric, fact.model_kind] = fact
    return MappingProxyType(found)


def paper_accuracies_of(contents: ReportContents) -> Mapping[tuple[str, str, str], PaperAccuracy]:
    """Return what the paper has for a field and for classes like those of a release.

    Nothing for other organisms: the samples of the paper are human.
    """
    if contents.release.organism != DEFAULT_ORGANISM:
        return MappingProxyType({})
    sizes = contents.class_sizes()
    configuration = contents.release.configuration
    # Releases that were made before the field was stored have the level among the labels.
    level = configuration.get("field", {}).get("level") or configuration.get("labels", {}).get(
        "tissue_level"
    )
    of_groups = level == "group"
    return paper_accuracies(contents.release.field, list(sizes.values()), of_groups=of_groups)
