"""Measure memory and speed of reading a wide COUNTS file.

Writes a file with many samples to a temporary folder, then reads it in separate
processes: with a plain loop over its lines as the baseline, and with
``read_counts`` and all its batches. Peak memory is the operating system's
``ru_maxrss``; CPU time includes the start of the process. With ``--baseline``,
another checkout reads the same file in turns; it has to know the form of the file.

    python -m benchmarks.speed.import_memory [--samples N] [--features N] [--share P] [--gzip]
        [--form tabs|commas|quotes|samples-down] [--baseline ../before] [--repeats N]
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=2_000)
    parser.add_argument("--share", type=float, default=0.03, help="share of non-zero counts")
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--form", choices=sorted(FORMS), default="tabs")
    parser.add_argument("--baseline", type=Path, help="checkout to compare with")
    parser.add_argument(
        "--repeats", type=int, default=1, help="the reading with the least CPU time counts"
    )
    parser.add_argument("--folder", type=Path, help="parent of the temporary folder")
    parser.add_argument("--step", choices=sorted(STEPS), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step is not None:
        measure(options)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        options.file = Path(folder).absolute() / ("counts.tsv.gz" if options.gzip else "counts.tsv")
        results = [run_step(step, options) for step in ("write", "loop")]
        readings = [read_in_turns(options) for _ in range(options.repeats)]
        results += [
            min((turn[place] for turn in readings), key=lambda one: one["cpu"])
            for place in range(len(readings[0]))
        ]
    print(
        f"{options.form}: {options.samples} samples, {options.features} features,"
        f" {options.share:.0%} non-zero"
    )
    for result in results:
        speed = results[0]["megabytes"] / result["seconds"]
        print(
            f"{result['step']:<8} {result['seconds']:8.1f} s {result['cpu']:8.1f} s of CPU"
            f" {speed:8.1f} MB text/s"
            f" {result['peak_megabytes']:8.0f} MB peak  {result['what']}"
        )


def read_in_turns(options: argparse.Namespace) -> list[dict[str, Any]]:
    results = [run_step("read", options)]
    if options.baseline is not None:
        results.append({**run_step("read", options, options.baseline), "step": "baseline"})
    return results


def run_step(
    step: str, options: argparse.Namespace, checkout: Path | None = None
) -> dict[str, Any]:
    """Run one step in a new process; this one stays small, as a child's peak includes it."""
    arguments = ["--step", step, "--file", str(options.file)]
    if step == "write":
        arguments += ["--form", options.form]
    for name in ("samples", "features", "share"):
        arguments += [f"--{name}", str(getattr(options, name))]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=checkout,
        env=None if checkout is None else {**os.environ, "PYTHONPATH": str(checkout.absolute())},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**json.loads(done.stdout), "cpu": cpu}


def measure(options: argparse.Namespace) -> None:
    size, seconds, what = STEPS[options.step](options)
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    result = {
        "step": options.step,
        "seconds": seconds,
        "megabytes": size / 1e6,
        "peak_megabytes": peak / 1e6,
        "what": what,
    }
    print(json.dumps(result))


def opened(path: Path, mode: str) -> Any:
    return gzip.open(path, mode, 1) if path.suffix == ".gz" else path.open(mode)


def write(options: argparse.Namespace) -> tuple[int, float, str]:
    import numpy as np

    start = time.perf_counter()
    rng = np.random.default_rng(1)
    size = 0
    delimiter, quote, down, across = FORMS[options.form]
    lines, columns = (getattr(options, name) for name in (down, across))
    stored = round(options.share * columns)
    with opened(options.file, "wb") as file:
        header = delimiter.join([b"feature", *(names(across, quote, columns))])
        size += file.write(header + b"\n")
        for name in names(down, quote, lines):
            cells = [b"0"] * columns
            places = rng.choice(columns, stored, replace=False)
            counts = rng.geometric(0.02, stored)
            for column, count in zip(places.tolist(), counts.tolist(), strict=True):
                cells[column] = b"%d" % count
            size += file.write(name + delimiter + delimiter.join(cells) + b"\n")
    seconds = time.perf_counter() - start
    return size, seconds, f"{options.file.stat().st_size / 1e6:.0f} MB on disk"


def names(kind: str, quote: bytes, number: int) -> list[bytes]:
    form = b"SRS%07d" if kind == "samples" else b"hsa-miR-%d"
    return [quote + form % one + quote for one in range(number)]


def loop(options: argparse.Namespace) -> tuple[int, float, str]:
    start = time.perf_counter()
    size = lines = 0
    with opened(options.file, "rb") as file:
        for line in file:
            size += len(line)
            lines += 1
    return size, time.perf_counter() - start, f"{lines} lines"


def read(options: argparse.Namespace) -> tuple[int, float, str]:
    from annotator.reading.importers import read_counts

    tempfile.tempdir = str(options.file.parent)

    stored = samples = 0
    start = time.perf_counter()
    with read_counts(options.file) as counts:
        checked = time.perf_counter()
        for ids, matrix in counts.batches():
            samples += len(ids)
            stored += matrix.nnz
    end = time.perf_counter()
    what = f"{samples} samples, {stored} counts; check {checked - start:.1f} s,"
    return 0, end - start, f"{what} batches {end - checked:.1f} s"


FORMS = {
    "tabs": (b"\t", b"", "features", "samples"),
    "commas": (b",", b"", "features", "samples"),
    "quotes": (b",", b'"', "features", "samples"),
    "samples-down": (b"\t", b"", "samples", "features"),
}
STEPS = {"write": write, "loop": loop, "read": read}

if __name__ == "__main__":
    main()
