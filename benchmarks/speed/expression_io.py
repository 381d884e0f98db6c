"""Compare expression in arrays, read by binary COPY, with a long table read by pandas.

Draws a random matrix of the size of a real atlas, loads it once as
``atlas.expression`` (one row per sample) and once as a long table with a primary
key and an index, and reads both back. Every step runs in a new process, so that
its peak memory is measured separately. The long table has integer keys, which
favours pandas: text ids would need far more memory.

    python -m benchmarks.speed.expression_io --samples 300 --features 4000   # a quick look
    python -m benchmarks.speed.expression_io   # the full size: 12 GB for pandas, minutes

The requirements apply to the full size: with a small matrix, fixed costs dominate.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scipy.sparse import csr_matrix

SAMPLES_AT_ONCE = 256
FASTER_THAN_PANDAS = 20.0
MEMORY_OF_MATRIX = 1.3


@dataclass(frozen=True)
class Size:
    samples: int
    features: int
    density: float


def sample_ids(first: int, last: int) -> list[str]:
    return [f"sample{number:07d}" for number in range(first, last)]


def blocks(size: Size) -> Iterator[tuple[int, csr_matrix]]:
    """Yield the first row and a block of rows of random counts, the same every time."""
    import numpy as np
    from scipy.sparse import csr_matrix

    for first in range(0, size.samples, SAMPLES_AT_ONCE):
        generator = np.random.default_rng(first)
        shape = (min(SAMPLES_AT_ONCE, size.samples - first), size.features)
        is_seen = generator.random(shape, dtype=np.float32) < size.density
        rows, columns = np.nonzero(is_seen)
        values = np.ceil(generator.lognormal(2, 2, len(rows))).astype(np.float32)
        yield first, csr_matrix((values, (rows, columns)), shape=shape)


def load_arrays(conninfo: str, size: Size) -> dict[str, Any]:
    import psycopg

    from annotator.domain.imports import ImportedCounts, SampleRecord
    from annotator.store.mirror.importing import apply_import

    waiting = [0.0]  # seconds spent on drawing random numbers

    def batches() -> Iterator[tuple[list[str], csr_matrix]]:
        source = blocks(size)
        while True:
            started = time.perf_counter()
            block = next(source, None)
            waiting[0] += time.perf_counter() - started
            if block is None:
                return
            first, counts = block
            yield sample_ids(first, first + counts.shape[0]), counts

    names = sample_ids(0, size.samples)
    records = [SampleRecord(name, f"D{i % 350}", {}, {}) for i, name in enumerate(names)]
    with psycopg.connect(conninfo) as connection:
        started = time.perf_counter()
        apply_import(
            connection,
            samples=records,
            counts=ImportedCounts(
                [f"feature{number:06d}" for number in range(size.features)], "srna", batches()
            ),
        )
        connection.commit()
        seconds = time.perf_counter() - started - waiting[0]
        return {"seconds": seconds, "bytes_on_disk": _disk(connection, "atlas.expression")}


def load_long(conninfo: str, size: Size) -> dict[str, Any]:
    import numpy as np
    import psycopg

    from annotator.store.server.copy_format import HEADER, TRAILER

    fields = [("columns", ">i2")]
    for name, kind in (("sample", ">i4"), ("feature", ">i4"), ("count", ">f4")):
        fields += [(f"length of {name}", ">i4"), (name, kind)]
    row = np.dtype(fields)
    seconds = 0.0
    with psycopg.connect(conninfo) as connection:
        connection.execute("drop table if exists public.long")
        connection.execute("create table public.long (sample integer, feature integer, count real)")
        for first, counts in blocks(size):
            started = time.perf_counter()
            content = np.empty(counts.nnz, dtype=row)
            content["columns"] = 3
            for name in ("sample", "feature", "count"):
                content[f"length of {name}"] = 4
            content["sample"] = np.repeat(
                np.arange(first, first + counts.shape[0]), np.diff(counts.indptr)
            )
            content["feature"] = counts.indices
            content["count"] = counts.data
            statement = "copy public.long from stdin (format binary)"
            with connection.cursor() as cursor, cursor.copy(statement) as copy:
                copy.write(HEADER)
                copy.write(content.tobytes())
                copy.write(TRAILER)
            seconds += time.perf_counter() - started
        started = time.perf_counter()
        connection.execute("alter table public.long add primary key (sample, feature)")
        connection.execute("create index on public.long (feature)")
        connection.commit()
        seconds += time.perf_counter() - started
        return {"seconds": seconds, "bytes_on_disk": _disk(connection, "public.long")}


def _disk(connection: Any, table: str) -> int:
    row = connection.execute("select pg_total_relation_size(%s::regclass)", [table]).fetchone()
    return int(row[0])


def read_arrays(conninfo: str, size: Size) -> dict[str, Any]:
    import psycopg

    from annotator.store.mirror.expression import read_profiles

    del size
    with psycopg.connect(conninfo) as connection:
        connection.execute("select 1")
        before, started, cpu = _memory_now(), time.perf_counter(), time.process_time()
        counts = read_profiles(connection).profiles.counts
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        memory = _peak_memory() - before
    matrix = counts.data.nbytes + counts.indices.nbytes + counts.indptr.nbytes
    return _read(seconds, cpu, memory, counts.nnz, float(counts.sum(dtype="f8")), matrix)


def read_pandas(conninfo: str, size: Size) -> dict[str, Any]:
    import pandas
    import psycopg
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    del size
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo), poolclass=NullPool
    )
    with engine.connect() as connection:
        before, started, cpu = _memory_now(), time.perf_counter(), time.process_time()
        table = pandas.read_sql("select sample, feature, count from public.long", connection)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        memory = _peak_memory() - before
    return _read(seconds, cpu, memory, len(table), float(table["count"].astype("f8").sum()), None)


def _read(
    seconds: float, cpu: float, memory: int, values: int, total: float, matrix: int | None
) -> dict[str, Any]:
    return {
        "seconds": seconds,
        "cpu": cpu,
        "memory": memory,
        "values": values,
        "sum": total,
        "matrix": matrix,
    }


def _peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _memory_now() -> int:
    """Return the resident bytes of this process, or its peak so far if they are unknown."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return _peak_memory()
    return pages * os.sysconf("SC_PAGE_SIZE")


STEPS = {
    "load arrays": load_arrays,
    "load long table": load_long,
    "read arrays": read_arrays,
    "read long table": read_pandas,
}


def in_fresh_process(step: str, conninfo: str, arguments: argparse.Namespace) -> dict[str, Any]:
    print(f"{step} ...", file=sys.stderr, flush=True)
    size = [f"--{name}={getattr(arguments, name)}" for name in ("samples", "features", "density")]
    answer = subprocess.run(
        [sys.executable, "-m", __spec__.name, *size, "--step", step],
        env=os.environ | {"BENCHMARK_CONNINFO": conninfo},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    result: dict[str, Any] = json.loads(answer.stdout)
    return result


def report(results: dict[str, dict[str, Any]]) -> str:
    mega = 1e6
    rows = [
        [
            step,
            one["seconds"],
            one.get("cpu"),
            one["bytes_on_disk"] / mega if "bytes_on_disk" in one else None,
            one["memory"] / mega if "memory" in one else None,
        ]
        for step, one in results.items()
    ]
    arrays, long = results["read arrays"], results["read long table"]
    same = arrays["values"] == long["values"] and abs(arrays["sum"] / long["sum"] - 1) < 1e-9
    speed = long["seconds"] / arrays["seconds"]
    memory = arrays["memory"] / arrays["matrix"]
    load = results["load long table"]["seconds"] / results["load arrays"]["seconds"]
    lines = [
        tabulate(rows, ["step", "seconds", "of CPU", "MB on disk", "peak MB"], floatfmt=".1f"),
        "",
        "CPU: of the reading process alone; compare it where the machine has other work.",
        "Peak: the most resident memory of the process, less what it had before the read.",
        f"Both reads gave the same {arrays['values']:,} values: {'yes' if same else 'NO'}",
        f"Loading is {load:.1f} times faster in arrays.",
        f"Reading is {speed:.1f} times faster in arrays (wanted: {FASTER_THAN_PANDAS:g}):"
        f" {'met' if speed >= FASTER_THAN_PANDAS else 'NOT met'}",
        f"It takes {memory:.2f} times the {arrays['matrix'] / mega:.1f} MB of the matrix"
        f" (wanted: at most {MEMORY_OF_MATRIX:g}):"
        f" {'met' if memory <= MEMORY_OF_MATRIX else 'NOT met'};"
        f" pandas takes {long['memory'] / arrays['matrix']:.1f} times.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--samples", type=int, default=4243)
    parser.add_argument("--features", type=int, default=40600)
    parser.add_argument("--density", type=float, default=0.2, help="share of counts above zero")
    parser.add_argument("--home", type=Path, help="folder for the database; a temporary one")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        size = Size(arguments.samples, arguments.features, arguments.density)
        print(json.dumps(STEPS[arguments.step](os.environ["BENCHMARK_CONNINFO"], size)))
        return

    from annotator.store.server.connection import Database
    from annotator.store.server.embedded import running_server
    from annotator.store.server.schema import migrate

    with tempfile.TemporaryDirectory(prefix="expression-io-") as folder:
        with running_server(arguments.home or Path(folder) / "home") as conninfo:
            migrate(Database(conninfo, embedded=True))
            results = {step: in_fresh_process(step, conninfo, arguments) for step in STEPS}
        print(
            f"{arguments.samples:,} samples x {arguments.features:,} features,"
            f" {arguments.density:.0%} above zero\n"
        )
        print(report(results))


if __name__ == "__main__":
    main()
