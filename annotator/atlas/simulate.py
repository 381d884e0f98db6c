"""Simulate an atlas that is hard in the same ways as real ones, with known truth.

Counts are negative binomial, library sizes span two orders of magnitude, datasets
and library kits have effects that are confounded with tissue, some tissues are
rare, some samples are cell lines, sex and age have weak effects on many sRNAs and
slight ones on contaminants, and annotations are missing, mostly for whole datasets.
The names of the sRNAs are real; those of the paper's Table 4 are planted as markers
of their tissue. The counts do not come from any real sample.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from scipy.sparse import csr_matrix, hstack

from annotator.atlas.names import contaminant_names, planted_names, srna_names, table4
from annotator.atlas.simulated_counts import (
    EffectSizes,
    contaminant_log_shares,
    contaminant_reads,
    draw_counts,
    library_sizes,
    srna_log_shares,
)
from annotator.atlas.simulated_design import (
    KITS,
    TERMS,
    Design,
    make_design,
    mislabel,
    missing_annotations,
)
from annotator.domain.fields import FeatureKind
from annotator.domain.imports import SampleRecord
from annotator.domain.profiles import Profiles
from annotator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_ORGANISM = "Homo sapiens"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationOptions:
    """The size and difficulty of a simulated atlas.

    Attributes
    ----------
    samples, datasets
        Numbers of samples and datasets; no more datasets than samples.
    srnas, contaminants
        Number of features of each kind; at least the markers of Table 4.
    missing_share
        Field to the share of samples whose annotation is missing.
    cell_line_share
        Share of the samples that are cell lines.
    mislabelled
        Number of wrong curated tissues.
    failed_libraries
        Number of libraries with fewer than 1000 reads.
    effects
        The size of every effect.
    seed
        The same seed and options give the same atlas.

    Raises
    ------
    InputError
        A size or share is out of range.
    """

    samples: int = 360
    datasets: int = 36
    srnas: int = 900
    contaminants: int = 150
    missing_share: Mapping[str, float] = field(
        default_factory=lambda: {"tissue": 0.2, "sex": 0.22, "age": 0.24}
    )
    cell_line_share: float = 0.2
    mislabelled: int = 3
    failed_libraries: int = 4
    effects: EffectSizes = field(default_factory=EffectSizes)
    seed: int = 20200330

    def __post_init__(self) -> None:
        least = {"datasets": 1, "samples": self.datasets, "srnas": len(planted_names())}
        for option in fields(self):
            value = getattr(self, option.name)
            if isinstance(value, int) and value < least.get(option.name, 0):
                raise InputError(
                    f"a simulated atlas needs {option.name} >= {least.get(option.name, 0)},"
                    f" not {value}"
                )
        for name, share in {**self.missing_share, "cell line": self.cell_line_share}.items():
            if not 0 <= share <= 1:
                raise InputError(f"the {name} share must be between 0 and 1, not {share}")
        if unknown := set(self.missing_share) - {"tissue", "sex", "age"}:
            raise InputError(f"no field {sorted(unknown)[0]!r}: tissue, sex and age are simulated")


@dataclass(frozen=True, eq=False)
class SimulatedAtlas:
    """A simulated atlas and its truth.

    Attributes
    ----------
    samples
        Samples as a curator would have annotated them, with gaps and a few mistakes.
    profiles
        Raw counts of both kinds of features, rows in the order of ``samples``.
    terms
        The ontology: term to its parents, none for a root.
    truth
        Field to sample to the true value: tissue, sex, or age in years.
    markers
        Root of the ontology to the sRNAs planted as its markers.
    dataset_titles
        Dataset to its title.
    mislabelled
        Samples whose curated tissue is wrong.
    """

    samples: tuple[SampleRecord, ...]
    profiles: Profiles
    terms: Mapping[str, tuple[str, ...]]
    truth: Mapping[str, Mapping[str, str | float]]
    markers: Mapping[str, tuple[str, ...]]
    dataset_titles: Mapping[str, str]
    mislabelled: tuple[str, ...]


def simulate_atlas(options: SimulationOptions | None = None) -> SimulatedAtlas:
    """Simulate an atlas.

    Parameters
    ----------
    options
        Size and difficulty; defaults if omitted.

    Returns
    -------
    SimulatedAtlas
        The same for the same options, as long as NumPy keeps its random streams.
    """
    options = options or SimulationOptions()
    design_stream, srna_stream, contaminant_stream, annotation_stream = (
        Generator(PCG64(sequence)) for sequence in SeedSequence(options.seed).spawn(4)
    )
    design = make_design(
        design_stream,
        samples=options.samples,
        datasets=options.datasets,
        cell_line_share=options.cell_line_share,
        failed_libraries=options.failed_libraries,
    )
    samples, mislabelled = _annotate(annotation_stream, design, options)
    return SimulatedAtlas(
        samples=samples,
        profiles=_measure(srna_stream, contaminant_stream, design, options),
        terms=dict(TERMS),
        truth={
            "tissue": dict(zip(design.sample_ids, design.tissues, strict=True)),
            "sex": dict(zip(design.sample_ids, design.sexes, strict=True)),
            "age": dict(zip(design.sample_ids, design.ages.tolist(), strict=True)),
        },
        markers=dict(table4()),
        dataset_titles=design.titles,
        mislabelled=mislabelled,
    )


def _measure(
    srna_stream: Generator,
    contaminant_stream: Generator,
    design: Design,
    options: SimulationOptions,
) -> Profiles:
    names = srna_names(options.srnas)
    library = library_sizes(srna_stream, design.failed)
    srnas = draw_counts(
        srna_stream,
        srna_log_shares(srna_stream, design, names, table4(), options.effects),
        library,
    )
    contaminants = draw_counts(
        contaminant_stream,
        contaminant_log_shares(contaminant_stream, design, options.contaminants, options.effects),
        contaminant_reads(contaminant_stream, library),
    )
    counts = csr_matrix(hstack([csr_matrix(srnas), csr_matrix(contaminants)], format="csr"))
    counts.sort_indices()
    kinds = [FeatureKind.SRNA.value] * options.srnas
    kinds += [FeatureKind.CONTAMINANT.value] * options.contaminants
    return Profiles(
        sample_ids=design.sample_ids,
        features=np.array(names + contaminant_names(options.contaminants), dtype=object),
        kinds=np.array(kinds, dtype=object),
        counts=counts,
    )


def _annotate(
    stream: Generator, design: Design, options: SimulationOptions
) -> tuple[tuple[SampleRecord, ...], tuple[str, ...]]:
    """Annotate samples as a curator would, with gaps and a few wrong tissues."""
    missing = {
        name: missing_annotations(
            stream,
            design,
            options.missing_share.get(name, 0.0),
            one_dataset_a_tissue=name == "tissue",
        )
        for name in ("tissue", "sex", "age")
    }
    wrong = mislabel(stream, design, ~missing["tissue"], options.mislabelled)
    records = []
    for i, sample_id in enumerate(design.sample_ids):
        known = {
            "tissue": wrong.get(i, design.tissues[i]),
            "sex": design.sexes[i],
            "age": str(int(design.ages[i])),
        }
        values = {name: value for name, value in known.items() if not missing[name][i]}
        records.append(
            SampleRecord(
                sample_id=sample_id,
                dataset_id=design.dataset_ids[i],
                values=values,
                numbers={"age": float(design.ages[i])} if "age" in values else {},
                organism=_ORGANISM,
                is_cell_line=bool(design.cell_lines[i]),
                attributes={"library_kit": KITS[design.kits[i]], "platform": design.platforms[i]},
                given_fields=frozenset(known),
                given_columns=frozenset({"library_kit", "platform", "is_cell_line"}),
            )
        )
    return tuple(records), tuple(design.sample_ids[i] for i in wrong)


@dataclass(frozen=True, slots=True)
class AtlasFiles:
    """Paths of the files of a written atlas."""

    counts_srna: Path
    counts_contaminant: Path
    samples: Path
    ontology: Path
    truth: Path


def write_atlas(atlas: SimulatedAtlas, folder: Path) -> AtlasFiles:
    """Write an atlas as files for ``annotator import``.

    The same atlas gives the same bytes. ``truth.tsv`` is not for importing: it
    contains the true tissue, sex and age of every sample.

    Parameters
    ----------
    atlas
        The atlas.
    folder
        Folder to write into; created if it does not exist. Files in it are replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = AtlasFiles(
        counts_srna=folder / "counts_srna.tsv.gz",
        counts_contaminant=folder / "counts_contaminant.tsv.gz",
        samples=folder / "samples.tsv",
        ontology=folder / "ontology.tsv",
        truth=folder / "truth.tsv",
    )
    _write_counts(written.counts_srna, atlas.profiles, FeatureKind.SRNA)
    _write_counts(written.counts_contaminant, atlas.profiles, FeatureKind.CONTAMINANT)
    _write_lines(written.samples, _sample_rows(atlas.samples))
    _write_lines(written.ontology, _ontology_rows(atlas.terms))
    _write_lines(written.truth, _truth_rows(atlas))
    return written


def _write_lines(path: Path, rows: Iterable[Iterable[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines("\t".join(row) + "\n" for row in rows)


def _write_counts(path: Path, profiles: Profiles, kind: FeatureKind) -> None:
    of_kind = np.flatnonzero(profiles.kinds == kind.value)
    by_feature = profiles.counts[:, of_kind].T.tocsr()
    # The archive contains neither a time nor a file name, so that its bytes are reproducible.
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as archive:
        archive.write(("\t".join(["feature", *profiles.sample_ids]) + "\n").encode())
        for row, name in enumerate(profiles.features[of_kind]):
            counts: NDArray[np.int64] = by_feature[[row]].toarray()[0].astype(np.int64)
            archive.write(("\t".join([name, *map(str, counts.tolist())]) + "\n").encode())


def _sample_rows(samples: tuple[SampleRecord, ...]) -> Iterator[list[str]]:
    known = ["tissue", "sex", "age"]
    further = sorted({name for sample in samples for name in sample.attributes})
    yield ["sample_id", "dataset_id", *known, "organism", "is_cell_line", *further]
    for sample in samples:
        yield [
            sample.sample_id,
            sample.dataset_id,
            *(sample.values.get(name, "") for name in known),
            sample.organism or "",
            "" if sample.is_cell_line is None else str(sample.is_cell_line).lower(),
            *(sample.attributes.get(name, "") for name in further),
        ]


def _ontology_rows(terms: Mapping[str, tuple[str, ...]]) -> Iterator[list[str]]:
    yield ["term", "parent"]
    for term, parents in terms.items():
        for parent in parents or ("",):  # a root is declared by an empty parent
            yield [term, parent]


def _truth_rows(atlas: SimulatedAtlas) -> Iterator[list[str]]:
    yield ["sample_id", "tissue", "sex", "age"]
    for sample_id in atlas.profiles.sample_ids:
        truth = [atlas.truth[name][sample_id] for name in ("tissue", "sex", "age")]
        yield [sample_id, *(f"{value:g}" if isinstance(value, float) else value for value in truth)]
