"""Sets of features and GMT files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.atlas.names import table4
from annotator.errors import InputError
from annotator.explain.feature_sets import FeatureSet, read_gmt, sets_of

CELL = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Z")).filter(lambda c: c != "\ufeff"), min_size=1
)


def written(folder, content):
    path = folder / "sets.gmt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_file_as_others_write_them(tmp_path):
    path = written(
        tmp_path,
        "\ufeffheart\tfrom a review\thsa-miR-1-3p\thsa-miR-133a-3p\thsa-miR-1-3p\t\t\r\n"
        "\r\n"
        "brain\t\thsa-miR-124-3p\r\n",
    )
    assert read_gmt(path) == (
        FeatureSet("heart", "from a review", ("hsa-miR-1-3p", "hsa-miR-133a-3p")),
        FeatureSet("brain", "", ("hsa-miR-124-3p",)),
    )


def test_the_last_line_needs_no_end(tmp_path):
    assert read_gmt(written(tmp_path, "a\tb\tc")) == (FeatureSet("a", "b", ("c",)),)


@given(
    sets=st.dictionaries(
        CELL, st.tuples(st.one_of(CELL, st.just("")), st.lists(CELL, min_size=1))
    ).filter(bool)
)
def test_whatever_is_written_is_read(tmp_path_factory, sets):
    lines = ["\t".join([name, said, *names]) for name, (said, names) in sets.items()]
    path = written(tmp_path_factory.mktemp("gmt"), "\n".join(lines) + "\n")
    assert read_gmt(path) == tuple(
        FeatureSet(name, said, tuple(dict.fromkeys(names))) for name, (said, names) in sets.items()
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no set"),
        ("\n \n", "no set"),
        ("a\tb\tc\nd\te\n", "line 2: set 'd' has no feature"),
        ("a,b,c\n", "line 1: set 'a,b,c' has no feature in column 3 or later (1 columns)"),
        ("a\tb\tc\n\tb\tc\n", "line 2, column 1: the set has no name"),
        (f"{'a' * 1001}\tb\tc\n", "line 1, column 1: the name is longer than 1,000 bytes"),
        ("a\tb\tc\n\nd\tb\tc\na\tb\tc\n", "line 4: set 'a' is already in line 1"),
        (b"a\tb\tc\nd\t\xff\tc\n", "line 2: this is not UTF-8"),
        (b"\x1f\x8b\x08\x00", "a gzip archive"),
        ("a\tb\tc\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, content, said):
    path = written(tmp_path, content)
    with pytest.raises(InputError) as error:
        read_gmt(path)
    assert str(path) in str(error.value)
    assert said in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_gmt(tmp_path / "none.gmt")


def test_table_4_becomes_sets():
    sets = sets_of(table4(), "paper")
    assert [each.name for each in sets] == list(table4())
    assert {each.description for each in sets} == {"paper"}
    assert sets[0].features == table4()["skin"]
