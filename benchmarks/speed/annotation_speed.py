"""Compare the speed and memory of annotating, or the time of a retraining, with another version.

The other version is a checkout of another commit, made with

    git worktree add ../before 2b31562
    python -m benchmarks.speed.annotation_speed --baseline ../before

Each version gets its own database, with the schema that it makes, and the same simulated
atlas: labelled samples from which it trains a release per field, and `--samples` samples without
a label, which are the labelled ones with other counts, in separate datasets. Then
`annotator annotate` predicts, explains and stores all of them with one version after the other,
`--repeats` times, each time in a new process. Seconds are those of the whole process, from start
to end; the pass is the part after the queue is filled, including the loading of the models. The
peak memory is that of the process, without the database.

    python -m benchmarks.speed.annotation_speed --baseline ../before --fields tissue,sex,age
    python -m benchmarks.speed.annotation_speed --baseline ../before --memory 10000,100000
    python -m benchmarks.speed.annotation_speed --baseline ../before --retrain --data ../shared/data

`--memory` also annotates other numbers of samples of the first field, once. `--retrain` instead
times `annotator retrain --field tissue` of cell groups with 10 grouped folds on the cellular
microRNAome, once with each version. Without `--baseline` this version alone is measured. The
environment of this version is used for both, so packages that only the other one needs must be
installed in it (`pip install skops` for 2b31562). Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from tabulate import tabulate

from annotator.atlas.simulate import SimulationOptions, simulate_atlas, write_atlas
from annotator.store.server.embedded import running_server

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
CELLS = "cellular_micrornaome"
HERE, BEFORE = "this version", "baseline"
COPY = "copy-"  # prefix of the names of samples and datasets without a label

# Ends with the largest resident size of the process. (The value that its parent gets from the
# system may be that of the parent.)
RUN = """
import runpy
import sys
from pathlib import Path
try:
    runpy.run_module("annotator", run_name="__main__")
finally:
    status = Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    print(int(peak.split()[1]) / 1024, file=sys.stderr)
"""

SETTINGS = {
    # Every candidate goes live: only the use of releases is measured.
    "ANNOTATOR_FOLDS": "2",
    "ANNOTATOR_CROSS_VALIDATION_FOLDS": "0",
    "ANNOTATOR_BASELINE_MARGIN": "-1",
    "ANNOTATOR_GATE_MARGIN": "1",
}
RETRAINING = {
    "ANNOTATOR_FOLDS": "10",
    "ANNOTATOR_FIELDS": 'tissue.level = "group"',
    "ANNOTATOR_TISSUE_LEVEL": "group",  # the same, for versions before fields were declared
    "ANNOTATOR_BASELINE_MARGIN": "-1",
}

# Every copy of a sample has different counts, the same in every database.
ADD_COPIES = f"""
with labelled as (
    select s.sample_id, s.dataset_id, s.organism, s.is_cell_line,
        row_number() over (order by s.dataset_id, s.sample_id) - 1 as place,
        count(*) over () as number
    from atlas.sample s where s.sample_id not like '{COPY}%%'
), copied as (
    select l.*, '{COPY}' || round || '-' as start, round
    from labelled l, generate_series(0, (%(samples)s - 1) / l.number) as round
    where round * l.number + l.place < %(samples)s
), datasets as (
    insert into atlas.dataset (dataset_id) select distinct start || dataset_id from copied
), samples as (
    insert into atlas.sample (sample_id, dataset_id, organism, is_cell_line)
    select start || sample_id, start || dataset_id, organism, is_cell_line from copied
)
insert into atlas.expression (sample_id, nnz, feature_ids, counts)
select c.start || c.sample_id, e.nnz, e.feature_ids, array(
    select ceil(count * (0.75 + 0.5 * ((place * 7919 + c.round * 104729) %% 1009) / 1009))::real
    from unnest(e.counts) with ordinality as one (count, place)
    order by place
)
from copied c join atlas.expression e using (sample_id)
"""
REMOVE_COPIES = (
    f"delete from atlas.sample where sample_id like '{COPY}%'",
    f"delete from atlas.dataset where dataset_id like '{COPY}%'",
)
FORGET = "truncate annotator.prediction, annotator.quarantine, annotator.work cascade"
# Only the releases of one field are live.
RETIRE = (
    "update annotator.release set status = 'retired', retired_at = now()"
    " where status = 'live' and field <> %s"
)
REVIVE = (
    "update annotator.release set status = 'live', retired_at = null"
    " where status = 'retired' and field = %s"
)
# Samples with a label of the field, and failed libraries, get no prediction.
PASS = """
select predicted, extract(epoch from finished_at - started_at)::float8
from annotator.annotation_run order by annotation_run_id desc limit 1
"""


@dataclass(frozen=True)
class Version:
    """A version of the software with its own database.

    Attributes
    ----------
    name
        Name in tables.
    checkout
        Folder of its code.
    home
        Folder of its embedded server.
    conninfo
        Connection string of that server.
    """

    name: str
    checkout: Path
    home: Path
    conninfo: str

    def environment(self, **settings: str) -> dict[str, str]:
        """Return the environment of a process of this version."""
        kept = {name: value for name, value in os.environ.items() if "ANNOTATOR_" not in name}
        own = {"ANNOTATOR_HOME": str(self.home), "PYTHONPATH": str(self.checkout)}
        return kept | own | settings

    def run(self, *arguments: str, **settings: str) -> tuple[float, float]:
        """Run a command of this version; return its seconds and peak memory in MB."""
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", RUN, *arguments],
            env=self.environment(**settings),
            cwd=self.home.parent,  # so that a settings file in the working folder has no effect
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - started
        if done.returncode != 0:
            raise SystemExit(f"{self.name}: annotator {' '.join(arguments)}: {done.stderr}")
        return seconds, float(done.stderr.splitlines()[-1])

    def execute(self, *statements: str, **values: int) -> None:
        """Run statements in one transaction."""
        with psycopg.connect(self.conninfo) as connection:
            for statement in statements:
                connection.execute(statement, values or None)


@dataclass(frozen=True)
class Measured:
    """One run of `annotator annotate`."""

    samples: int
    seconds: float
    of_pass: float
    megabytes: float


def prepare(version: Version, options: argparse.Namespace) -> None:
    """Make the database of a version, load the atlas and train a release per field."""
    atlas = simulate_atlas(
        SimulationOptions(
            samples=options.labelled,
            datasets=options.labelled // 12,
            srnas=options.features,
            missing_share=dict.fromkeys(("tissue", "sex", "age"), 0.0),
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        files = write_atlas(atlas, Path(folder))
        version.run("migrate")
        version.run(
            *("import", str(files.counts_srna), str(files.samples)),
            *("--ontology", str(files.ontology)),
        )
        version.run(
            *("import", str(files.counts_contaminant), str(files.samples)),
            *("--kind", "contaminant"),
        )
    for field in options.fields:
        seconds, _ = version.run("retrain", "--field", field, **SETTINGS)
        print(f"{version.name}: a release of {field} in {seconds:.0f} s", flush=True)


def set_samples(version: Version, samples: int) -> None:
    """Set the number of samples without a label."""
    version.execute(FORGET)
    version.execute(*REMOVE_COPIES)
    version.execute(ADD_COPIES, samples=samples)
    with psycopg.connect(version.conninfo, autocommit=True) as connection:
        connection.execute("vacuum analyze")


def annotate(version: Version, field: str) -> Measured:
    """Annotate all samples again."""
    with psycopg.connect(version.conninfo) as connection:
        connection.execute(FORGET)
        connection.execute(RETIRE, (field,))
        connection.execute(REVIVE, (field,))
    seconds, megabytes = version.run("annotate")
    with psycopg.connect(version.conninfo) as connection:
        row = connection.execute(PASS).fetchone()
    assert row is not None
    return Measured(int(row[0]), seconds, float(row[1]), megabytes)


def speed(versions: Sequence[Version], options: argparse.Namespace) -> None:
    """Compare seconds, samples per second and memory, field by field."""
    for version in versions:
        set_samples(version, options.samples)
    rows = []
    for field in options.fields:
        runs: dict[str, list[Measured]] = {version.name: [] for version in versions}
        for _ in range(options.repeats):
            for version in versions:
                runs[version.name].append(annotate(version, field))
        rates = {}
        for name, measured in runs.items():
            seconds = statistics.median(one.seconds for one in measured)
            of_pass = statistics.median(one.of_pass for one in measured)
            samples, peak = measured[0].samples, max(one.megabytes for one in measured)
            rates[name] = samples / seconds
            rows.append([field, name, samples, seconds, of_pass, rates[name], peak, None])
        if len(rates) > 1:
            rows[-1][-1] = rates[HERE] / rates[BEFORE]
    headers = (
        *("field", "version", "samples", "seconds", "pass, s", "samples per second"),
        *("peak memory, MB", "times as fast"),
    )
    print(
        "\n"
        + tabulate(rows, headers=headers, floatfmt=("", "", "", ".1f", ".1f", ".0f", ".0f", ".2f"))
    )


def memory(versions: Sequence[Version], options: argparse.Namespace) -> None:
    """Compare the peak memory of passes over different numbers of samples."""
    rows = []
    for samples in options.memory:
        for version in versions:
            set_samples(version, samples)
            measured = annotate(version, options.fields[0])
            rows.append(
                [version.name, measured.samples, measured.seconds, measured.megabytes],
            )
    headers = ("version", "samples", "seconds", "peak memory, MB")
    print("\n" + tabulate(sorted(rows), headers=headers, floatfmt=("", "", ".1f", ".0f")))


def retraining(versions: Sequence[Version], folder: Path) -> None:
    """Compare the time of a retraining of cell groups."""
    cells = folder / CELLS
    rows, times = [], {}
    for version in versions:
        version.run("migrate")
        version.run(
            *("import", str(cells / "counts.tsv.gz"), str(cells / "samples.tsv")),
            *("--ontology", str(cells / "ontology.tsv")),
        )
    for version in versions:
        times[version.name], megabytes = version.run("retrain", "--field", "tissue", **RETRAINING)
        rows.append([version.name, times[version.name], megabytes, None])
    if len(times) > 1:
        rows[-1][-1] = times[BEFORE] / times[HERE]
    headers = ("version", "seconds", "peak memory of the main process, MB", "times as fast")
    print("\n" + tabulate(rows, headers=headers, floatfmt=("", ".0f", ".0f", ".2f")))


def numbers(text: str) -> list[int]:
    """Read whole numbers separated by commas."""
    return [int(part) for part in text.split(",")]


def add_atlas_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that :func:`prepare` needs."""
    parser.add_argument("--labelled", type=int, default=1_200, help="samples to learn from")
    parser.add_argument("--features", type=int, default=2_000, help="sRNAs of the atlas")
    parser.add_argument("--fields", type=lambda text: text.split(","), default=["tissue"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--baseline", type=Path, help="checkout of the other version")
    parser.add_argument("--samples", type=int, default=10_000, help="samples to annotate")
    add_atlas_options(parser)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=numbers, default=[], help="numbers of samples")
    parser.add_argument("--retrain", action="store_true", help="time a retraining instead")
    parser.add_argument("--data", type=Path, help="folder of the real atlases, for --retrain")
    options = parser.parse_args()
    if options.retrain and options.data is None:
        parser.error("--retrain needs --data")
    checkouts = [(HERE, ROOT)]
    if options.baseline is not None:
        if not (options.baseline / "annotator" / "cli/commands.py").is_file():
            parser.error(f"{options.baseline} is not a checkout of this software")
        checkouts.insert(0, (BEFORE, options.baseline.resolve()))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
        versions = []
        for name, checkout in checkouts:
            home = Path(folder) / name.replace(" ", "-") / "home"
            home.parent.mkdir()
            conninfo = servers.enter_context(running_server(home))
            versions.append(Version(name, checkout, home, conninfo))
        if options.retrain:
            retraining(versions, options.data.resolve())
            return
        for version in versions:
            prepare(version, options)
        speed(versions, options)
        memory(versions, options)


if __name__ == "__main__":
    main()
