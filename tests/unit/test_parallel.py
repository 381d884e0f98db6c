from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from annotator.errors import CohortError, SettingsError
from annotator.learn.release.versions import library_versions
from annotator.learn.running.parallel import Parallelism, run_all


def _column_sum(data: np.ndarray, number: int) -> tuple[int, float, int]:
    return number, float(data[:, number].sum()), os.getpid()


def _fail(data: None, number: int) -> int:
    raise CohortError(f"number {number} cannot be done")


def _nothing(done: int, total: int) -> None:
    pass


def test_workers_give_what_this_process_gives():
    data = np.arange(300_000, dtype=np.float64).reshape(-1, 3)  # large enough to be mapped
    seen: list[tuple[int, int]] = []
    alone = run_all(_column_sum, data, [0, 1, 2], Parallelism(workers=1), _nothing)
    together = run_all(
        _column_sum, data, [0, 1, 2], Parallelism(workers=2), lambda *step: seen.append(step)
    )
    assert sorted(result[:2] for result in together) == [result[:2] for result in alone]
    assert {result[2] for result in alone} == {os.getpid()}
    assert os.getpid() not in {result[2] for result in together}
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_an_error_in_a_worker_keeps_its_kind_and_words():
    with pytest.raises(CohortError, match="cannot be done"):
        run_all(_fail, None, [0, 1], Parallelism(workers=2), _nothing)


@pytest.mark.parametrize("backend", ["threading", "multiprocessing", "ray", "dask", "no such"])
def test_unusable_backends_are_refused(backend):
    with pytest.raises(SettingsError, match="parallel_backend"):
        run_all(_column_sum, np.ones((1, 2)), [0, 1], Parallelism(backend, 2), _nothing)


def test_an_interrupt_ends_the_workers(tmp_path):
    script = tmp_path / "interrupted.py"
    script.write_text(
        textwrap.dedent("""
        import os, signal, time
        from annotator.learn.running.parallel import Parallelism, run_all

        def work(data, number):
            print(os.getpid(), flush=True)
            time.sleep(600)

        if __name__ == "__main__":
            # What runs in the background of a shell starts with interrupts ignored.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                run_all(work, None, [0, 1], Parallelism(workers=2), lambda done, total: None)
            except KeyboardInterrupt:
                print("interrupted", flush=True)
        """)
    )
    with subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        workers = [int(process.stdout.readline()) for _ in range(2)]
        time.sleep(0.5)  # nobody is faster, and joblib has work in hand by then
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: parent and workers
        try:
            output, errors = process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert output.strip() == "interrupted"
    assert "Traceback" not in errors
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


@contextmanager
def _at_work(folder: Path) -> Iterator[tuple[int, list[int], Path]]:
    """Run two workers on an array; yield the process, its workers and the file of the array."""
    script = folder / "at_work.py"
    script.write_text(
        textwrap.dedent("""
        import os, time
        import numpy as np
        from annotator.learn.running.parallel import Parallelism, run_all

        def work(data, number):
            # In one piece, because two processes write to the same pipe.
            os.write(1, f"{os.getpid()} {data.filename}\\n".encode())
            time.sleep(600)

        if __name__ == "__main__":
            run_all(work, np.ones(200_000), [0, 1], Parallelism(workers=2), lambda *step: None)
        """)
    )
    with subprocess.Popen(
        [sys.executable, str(script)],
        # In a folder that no other test cleans up.
        env={**os.environ, "PYTHONPATH": os.getcwd(), "JOBLIB_TEMP_FOLDER": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().split() for _ in range(2)]
            yield process.pid, [int(pid) for pid, _ in lines], Path(lines[0][1])
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _becomes_true(condition: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return condition()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_and_arrays_of_a_killed_process_go(tmp_path):
    with _at_work(tmp_path) as (process, workers, array):
        assert array.exists()
        os.kill(process, signal.SIGKILL)
        assert _becomes_true(lambda: not any(map(_runs, workers)))
        assert _becomes_true(lambda: not array.exists())


def test_arrays_that_were_left_go_with_the_next_run_and_those_in_use_stay(tmp_path):
    with _at_work(tmp_path) as (process, _, left):
        os.killpg(process, signal.SIGKILL)  # nobody remains who could remove them
        assert left.exists()
        with _at_work(tmp_path) as (_, _, used), _at_work(tmp_path):
            assert not left.exists()
            assert used.exists()


def test_versions_are_those_of_the_installed_libraries():
    versions = library_versions()
    assert versions["numpy"] == np.__version__
    assert versions["scikit-learn"] == metadata.version("scikit-learn")
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))


def test_versions_are_read_without_importing_the_libraries():
    script = (
        "import sys; from annotator.learn.release.versions import library_versions;"
        "library_versions();"
        "print(*sorted({'tensorflow', 'sklearn', 'xgboost', 'keras', 'numpy'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == ""
