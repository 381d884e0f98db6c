"""How many values are used, and several errors, as text."""

from __future__ import annotations

import pytest

from annotator.cli import commands
from annotator.cli.value_text import value_line, value_lines
from annotator.domain.fields import FIELDS
from annotator.domain.values.reading import value_use
from annotator.errors import InputError


def test_a_line_has_the_numbers_and_the_most_frequent_values() -> None:
    counted = [("m", None, 91), ("unknown", None, 61), ("mixed", None, 3)]
    line = value_line(value_use(FIELDS["sex"], counted))
    assert line.startswith("sex: 91 of 155 values are used, 64 are not: 'unknown' 61 (missing);")
    assert "'mixed' 3 (none of female, male" in line


def test_a_field_without_values_has_no_line() -> None:
    uses = [value_use(FIELDS["sex"], []), value_use(FIELDS["age"], [("35", 35.0, 2)])]
    assert value_lines(uses) == ["age: 2 of 2 values are used"]


def test_long_values_and_line_breaks_do_not_break_the_line() -> None:
    line = value_line(value_use(FIELDS["age"], [("very\nold " * 99, None, 1)]))
    assert "\n" not in line
    assert len(line) < 200


def test_every_error_of_a_file_is_a_line_of_its_own(monkeypatch, capsys) -> None:
    def refuse(**_: object) -> None:
        errors = [InputError(text, source="file", line=2) for text in ("first", "second", "third")]
        raise InputError.together(errors, 5)

    monkeypatch.setattr(commands.command_line, "main", refuse)
    with pytest.raises(SystemExit) as ended:
        commands.main()
    assert ended.value.code == 2
    *lines, count = capsys.readouterr().err.splitlines()
    assert lines == [f"annotator: file, line 2: {text}" for text in ("first", "second", "third")]
    assert "5 errors" in count
