"""Measure what the report of a release costs, on made-up contents without a database.

    python -m benchmarks.speed.report
    python -m benchmarks.speed.report --classes 40 --samples 5000

Prints processor seconds of importing the libraries, of drawing the figures and of filling the
page, and the size of the page.
"""

from __future__ import annotations

import argparse
import time

from tabulate import tabulate

from tests.support.made_report import made_contents


def main(arguments: list[str] | None = None) -> None:
    """Print the cost of one report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--classes", type=int, default=12)
    parser.add_argument("--samples", type=int, default=600)
    chosen = parser.parse_args(arguments)
    contents = made_contents(chosen.classes, chosen.samples)
    clock = [time.process_time()]
    from annotator.report.figures import figures
    from annotator.report.html import page

    clock.append(time.process_time())
    drawn = figures(contents)
    clock.append(time.process_time())
    written = page(contents, drawn).encode()
    clock.append(time.process_time())
    steps = ("importing libraries", f"drawing {len(drawn)} figures", "filling the page")
    rows = [
        (step, f"{end - start:.2f} s")
        for step, start, end in zip(steps, clock[:-1], clock[1:], strict=True)
    ]
    rows += [("all of it", f"{clock[-1] - clock[0]:.2f} s"), ("size", f"{len(written):,} bytes")]
    print(f"A report of {chosen.classes} classes and {chosen.samples:,} samples, CPU time:")
    print(tabulate(rows, tablefmt="plain", disable_numparse=True))


if __name__ == "__main__":
    main()
