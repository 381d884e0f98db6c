"""Ontology files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotator.errors import InputError
from annotator.reading.importers import read_ontology

several_runs = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def write(folder: Path, *lines: str) -> Path:
    path = folder / "ontology.tsv"
    path.write_text("".join(f"{line}\n" for line in ("term\tparent", *lines)), encoding="utf-8")
    return path


def refusal(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        read_ontology(path)
    assert str(path) in str(caught.value)
    return caught.value


def test_roots_need_not_be_declared(tmp_path: Path) -> None:
    path = write(tmp_path, "cortex\tbrain", "retina\tbrain", "retina\teye", "cortex\tbrain")
    assert read_ontology(path).parents == {
        "cortex": ("brain",),
        "retina": ("brain", "eye"),
        "brain": (),
        "eye": (),
    }


def test_roots_may_be_declared_by_an_empty_parent(tmp_path: Path) -> None:
    path = write(tmp_path, "cortex\tbrain", "brain\t")
    assert read_ontology(path).parents == {"cortex": ("brain",), "brain": ()}


def test_a_root_may_be_its_own_parent(tmp_path: Path) -> None:
    path = write(tmp_path, "sperm\tsperm", "cortex\tbrain")
    assert read_ontology(path).parents == {"sperm": (), "cortex": ("brain",), "brain": ()}


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ontology.tsv"
    path.write_text("term\tparent\tParent\ncortex\tbrain\teye\n")
    assert "several columns 'parent'" in str(refusal(path))


def test_what_is_left_out_of_a_table_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "ontology.tsv"
    path.write_text("# BTO\nterm\tparent\n\t\ncortex\tbrain\n")
    above, empty_row = read_ontology(path).notes
    assert "BTO" in above
    assert "1 empty row" in empty_row


def test_further_columns_are_not_used(tmp_path: Path) -> None:
    path = tmp_path / "ontology.tsv"
    path.write_text("parent\tsource\tterm\nbrain\tBTO\tcortex\n")
    assert read_ontology(path).parents == {"cortex": ("brain",), "brain": ()}


@pytest.mark.parametrize(
    ("lines", "line", "column", "message"),
    [
        ((), 2, None, "no row"),
        (("cortex\tbrain", "\tbrain"), 3, "1 (term)", "term is empty"),
        (("brain\t", "cortex\tbrian"), 3, "2 (parent)", "'brian' of term 'cortex' is unknown"),
        (("brain\t", "cortex\tbrian"), 3, "2 (parent)", "is it 'brain'?"),
        (("a\tb", "b\ta"), 2, "2 (parent)", "a -> b -> a"),
        (("x\ta", "a\tb", "b\tc", "c\ta"), 3, "2 (parent)", "a -> b -> c -> a"),
        (("a\ta", "a\tb"), 2, "2 (parent)", "a -> a"),
        (("a\tb\tc",), 2, 3, "3 columns where the header has 2"),
        (("a",), 2, 1, "1 columns where the header has 2"),
        (("a\t", f"{'b' * 1001}\ta"), 3, None, "longer than 1,000 bytes"),
    ],
)
def test_a_wrong_ontology_is_refused_in_the_right_place(
    tmp_path: Path, lines: tuple[str, ...], line: int, column: int | str | None, message: str
) -> None:
    error = refusal(write(tmp_path, *lines))
    assert (error.line, error.column) == (line, column)
    assert message in str(error)


@pytest.mark.parametrize("content", ["", "term\tname\na\tb\n", "term|parent\na|b\n"])
def test_a_file_that_is_no_such_table_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ontology.tsv"
    path.write_text(content)
    refusal(path)


def test_a_very_deep_hierarchy_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, *(f"t{i}\tt{i + 1}" for i in range(20_000)))
    assert len(read_ontology(path).terms) == 20_001


@several_runs
@given(
    edges=st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 30)).filter(lambda edge: edge[0] < edge[1]),
        min_size=1,
    )
)
def test_every_hierarchy_survives_the_way_through_a_file(
    tmp_path: Path, edges: list[tuple[int, int]]
) -> None:
    parents = read_ontology(
        write(tmp_path, *(f"t{child}\tt{parent}" for child, parent in edges))
    ).parents
    found = {(child, parent) for child, names in parents.items() for parent in names}
    assert found == {(f"t{child}", f"t{parent}") for child, parent in edges}
    assert set(parents) == {f"t{number}" for edge in edges for number in edge}


@several_runs
@given(
    chain=st.lists(st.integers(0, 30), min_size=2, max_size=8, unique=True),
    others=st.lists(st.tuples(st.integers(31, 60), st.integers(0, 30)), max_size=20),
    order=st.randoms(use_true_random=False),
)
def test_a_cycle_is_always_found_and_named(
    tmp_path: Path, chain: list[int], others: list[tuple[int, int]], order: object
) -> None:
    edges = [*zip(chain, chain[1:] + chain[:1], strict=True), *others]
    order.shuffle(edges)  # type: ignore[attr-defined]
    error = refusal(write(tmp_path, *(f"t{child}\tt{parent}" for child, parent in edges)))
    named = str(error).rpartition(": ")[2].split(" -> ")
    assert named[0] == named[-1]
    assert set(named) == {f"t{number}" for number in chain}
    assert error.line is not None
    assert edges[error.line - 2] == (int(named[0][1:]), int(named[1][1:]))


def test_a_header_without_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ontology.tsv"
    path.write_text("#\n")
    assert "no column" in str(refusal(path))
