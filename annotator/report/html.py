"""The report of a release as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from annotator import __version__
from annotator.domain.organisms import DEFAULT_ORGANISM
from annotator.domain.releases import BUILT_IN_PRESETS
from annotator.domain.wording import visible
from annotator.report.tables import (
    accuracy,
    cohort,
    explanations,
    mistakes,
    provenance,
)
from annotator.report.tables.cells import Table, table_of, text, words
from annotator.report.tables.summary import tiles
from annotator.report.words import percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from annotator.report.contents import ReportContents
    from annotator.report.figures import Figure

FURTHER = "further"
WIDEST_BESIDE_ANOTHER = 560  # pixels


@dataclass(frozen=True, slots=True)
class _Section:
    """One section: its template is named like it, and its figures start with ``figures``."""

    name: str
    title: str
    figures: tuple[str, ...] = ()


SECTIONS = (
    _Section("summary", "Summary"),
    _Section("data", "What it was trained on", ("map-",)),
    _Section("accuracy", "How accurate it is", ("accuracy-",)),
    _Section("mistakes", "What it gets wrong", ("confusion-",)),
    _Section("selective", "Confidence and selective prediction", ("reliability", "risk-coverage")),
    _Section("markers", "Class markers", ("markers", "marker-")),
    _Section("samples", "Contributions in single samples", ("sample-",)),
    _Section("similarity", "Similarity and stability of classes", ("similarity", "stability")),
    _Section("enrichment", "Enrichment of known sets", ("enrichment",)),
    _Section("suspects", "Suspect labels"),
    _Section("provenance", "Provenance"),
)


@dataclass(frozen=True, slots=True)
class _Filled:
    """A section with what its template shows."""

    name: str
    title: str
    shown: Mapping[str, Any] = field(default_factory=dict)


def page(contents: ReportContents, figures: Sequence[Figure]) -> str:
    """Return the report as HTML.

    Nothing is loaded from elsewhere: styles, script and figures are in the file, and a
    content security policy forbids the rest.

    Parameters
    ----------
    contents
        The contents of the report. Names and titles may hold any characters.
    figures
        Each is shown in the section that its name belongs to, and those of no
        section in one of their own; their ``svg`` is taken as it is.

    Returns
    -------
    str
        A document in UTF-8.
    """
    environment = _environment()
    script = _source("script.js").strip()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    release = contents.release
    return environment.get_template("page.html").render(
        title=f"{_title(provenance.named_field(release))}, release {release.release_id}",
        version=__version__,
        style=_source("style.css").strip(),
        script=script,
        script_hash=f"sha256-{digest}",
        release=release,
        sections=_sections(contents, figures),
    )


def _title(name: str) -> str:
    return name[:1].upper() + name[1:]


def _sections(contents: ReportContents, figures: Sequence[Figure]) -> list[_Filled]:
    shown = _shown(contents)
    left = list(figures)
    filled = []
    for section in SECTIONS:
        own = [each for each in left if section.figures and each.name.startswith(section.figures)]
        left = [each for each in left if each not in own]
        filled.append(_Filled(section.name, section.title, shown[section.name] | {"figures": own}))
    if left:
        filled.append(_Filled(FURTHER, "Further figures", {"figures": left}))
    return filled


def _shown(contents: ReportContents) -> dict[str, dict[str, Any]]:
    """Return what the template of each section names, besides its figures."""
    release, explained = contents.release, contents.explanations
    target = dict(release.configuration).get("trust", {}).get("target_precision")
    return {
        "summary": {
            "standing_word": provenance.STANDINGS.get(release.status, release.status),
            "standing": provenance.standing(release),
            "reasons": provenance.reasons(contents),
            "tiles": tiles(contents),
        },
        "data": {
            "size": cohort.cohort_size(contents.cohort),
            "classes": cohort.class_sizes(contents),
            "datasets": cohort.dataset_sizes(contents),
        },
        "accuracy": {
            "kinds": accuracy.kind_figures(contents),
            "by_class": accuracy.class_figures(contents),
            "precision": accuracy.precision_figures(contents),
            "paper": accuracy.paper_figures(contents),
        },
        "mistakes": {
            "confusions": mistakes.confusions(contents),
            "worst": mistakes.worst_datasets(contents),
        },
        "selective": {
            "selective": accuracy.selective_metrics(contents),
            "terms": accuracy.term_figures(contents),
            "target_precision": None if target is None else percent(target),
            "has_broader_terms": contents.has_broader_terms,
        },
        "markers": {
            "leading": explanations.leading_markers(contents),
            "markers": explanations.markers(contents),
            "marker_count": len(explained.markers),
        },
        "samples": {"samples": explanations.explained_samples(contents)},
        "similarity": {
            "pairs": explanations.similar_pairs(contents),
            "stability": explanations.stabilities(contents),
        },
        "enrichment": {
            "tested": len(explained.enrichments),
            "sources": ", ".join(sorted({each.source for each in explained.enrichments})),
            "backgrounds": _range(each.background for each in explained.enrichments),
            "enrichments": explanations.enrichments(contents),
        },
        "suspects": {"suspects": mistakes.suspects(contents)},
        "provenance": {
            "facts": provenance.facts(release),
            "usual_organism": DEFAULT_ORGANISM,
            "has_preset_file": release.preset not in BUILT_IN_PRESETS,
            "versions": _versions(release.versions),
            "configuration": provenance.configuration_text(release),
        },
    }


def _range(numbers: Iterable[int]) -> str:
    """Return ``300`` or ``300 to 1,200``."""
    found = sorted(set(numbers))
    return " to ".join(f"{number:,}" for number in dict.fromkeys([*found[:1], *found[-1:]]))


def _versions(versions: Mapping[str, str]) -> Table | None:
    return table_of(
        "versions",
        "Versions that it was trained with",
        sorted(versions, key=str.casefold),
        [
            (words("Library"), text),
            (words("Version"), lambda name: text(versions[name])),
        ],
        (0, "ascending"),
    )


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("annotator.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown_text,
    )
    made.tests["wide"] = _is_wide
    return made


def _shown_text(value: Any) -> Any:
    """Make all of a text visible, except where it is HTML already."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _is_wide(figure: Figure) -> bool:
    """Tell whether a figure needs a row of its own."""
    return figure.width > WIDEST_BESIDE_ANOTHER


def _source(name: str) -> str:
    loader = _environment().loader
    assert loader is not None
    return loader.get_source(_environment(), name)[0]
