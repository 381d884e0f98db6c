"""`annotator demo`: twice at once, killed while its home was made, and without space."""

from __future__ import annotations

import time
from contextlib import contextmanager

import pytest

from annotator.store.server.home import has_cluster
from tests.support.faults.limits import can_make_disks, small_disk


@contextmanager
def demo(program):
    """A demo that is ended with the block."""
    process = program.start("demo")
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=120)


def wait_until_up(process):
    line = process.stderr.readline()
    assert "is up" in line, line + process.stderr.read()


def test_a_second_demo_ends_with_one_line(program):
    with demo(program) as first:
        wait_until_up(first)
        ended = program.run("demo", code=4)
        assert len(ended.err.splitlines()) == 1
        assert "another demo" in ended.err
        assert first.poll() is None


def test_two_demos_in_a_new_home(program):
    with demo(program) as first, demo(program) as second:
        lines = [process.stderr.readline() for process in (first, second)]
    assert sorted("is up" in line for line in lines) == [False, True]
    assert sorted("another demo" in line for line in lines) == [False, True]


def test_a_demo_that_was_killed_early_can_be_started_again(program):
    with demo(program) as killed:
        give_up = time.monotonic() + 120
        while not has_cluster(program.home):
            assert time.monotonic() < give_up
            time.sleep(0.001)
        killed.kill()
    with demo(program) as again:
        wait_until_up(again)


def test_a_demo_says_that_it_replaces_another(program):
    program.run("migrate")
    (program.home / "demo").touch()
    with demo(program) as again:
        wait_until_up(again)
        assert "replacing the demo that was here, with 0 decisions" in again.stderr.readline()


def test_a_database_of_one_s_own_is_no_demo_because_one_was_killed(program):
    program.home.mkdir()
    (program.home / "demo").touch()  # killed before there was a database
    program.run("migrate")
    assert "not a demo" in program.run("demo", code=2).err


@pytest.mark.skipif(not can_make_disks(), reason="this process may not mount a disk")
def test_temporary_files_that_do_not_fit(program):
    with small_disk(256 * 1024) as disk:
        ended = program.run("demo", code=3, TMPDIR=str(disk))
        assert list(disk.iterdir()) == []
    *_, last = ended.err.splitlines()
    assert str(disk) in last
    assert "No space left" in last
    assert "Traceback" not in ended.err
