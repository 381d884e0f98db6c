"""The monitoring guide and the example alerts speak of metrics that exist."""

from __future__ import annotations

import re

import pytest
import yaml

from annotator.domain.fields import FIELDS
from annotator.domain.organisms import WithoutRelease
from annotator.jobs.watch.prometheus import Metrics, families
from annotator.jobs.watch.status import NEEDS_A_PERSON, STUCK
from annotator.settings import Settings
from annotator.store.server.connection import Database
from annotator.store.watch.monitoring import FieldGauges, Gauges
from tests.support import ROOT

GUIDES = ROOT / "docs" / "guides"
OUTCOMES = ("promoted", "rejected", "skipped", "failed", "interrupted")
EXAMPLE = Gauges(
    tuple(
        FieldGauges(
            field=field,
            pending=3,
            oldest_pending_seconds=60.0,
            annotated=5,
            abstained=2,
            quarantined=1,
            release_id=4,
            release_age_seconds=3600.0,
            release_accuracy=0.9,
            judged=10,
            accuracy_in_use=0.8,
            retrainings=dict.fromkeys(OUTCOMES, 1),
            retrained_seconds_ago=60.0,
            recent=40,
            novelty_drift=0.1,
            label_drift=0.2,
        )
        for field in FIELDS
    ),
    {"idle": 1, NEEDS_A_PERSON: 1, STUCK: 1},
    2,
    (WithoutRelease("tissue", "Mus musculus", 12),),
)
NAME = re.compile(r"\b(?:annotator|process)_\w+|\bup\b")
TOKEN = re.compile(
    r"""\s+ | "(?:[^"\\]|\\.)*" | \[\d+[smhd]\] | \d+(?:\.\d+)?(?:e\d+)? | [A-Za-z_]\w*
    | == | != | >= | <= | =~ | !~ | [-+*/%^<>=(){},]""",
    re.X,
)
KEYWORDS = {"by", "and", "or", "unless"}
AGGREGATIONS = {"sum", "min", "max", "avg", "count"}
FUNCTIONS = {"absent", "deriv", "histogram_quantile", "increase", "rate"}
OVER_A_RANGE = {"deriv", "increase", "rate"}
SELECTOR = re.compile(r"(\w+)\{([^}]*)\}")


def rules():
    content = yaml.safe_load((GUIDES / "alerts.yml").read_text())
    return [rule for group in content["groups"] for rule in group["rules"]]


def labels_of_metrics():
    """Every name that can stand in an expression, and the values of its labels."""
    away = Database("host=127.0.0.1 port=1 user=nobody")
    metrics = Metrics(away, Settings())
    metrics.batch_done("sex", 1.0)
    found = {"up": {"job": {"srna-annotator"}}}
    collected = [*families(EXAMPLE), *metrics.registry.collect()]
    for family in collected:
        for sample in family.samples:
            labels = found.setdefault(sample.name, {"job": {"srna-annotator"}})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def test_every_alert_names_figures_labels_and_values_that_exist():
    known = labels_of_metrics()
    for rule in rules():
        expression = rule["expr"]
        names = NAME.findall(expression)
        assert names, rule["alert"]
        assert set(names) <= known.keys(), rule["alert"]
        for name, inside in SELECTOR.findall(expression):
            for pair in filter(None, inside.split(",")):
                label, value = re.fullmatch(r'\s*(\w+)="(.*)"', pair).groups()
                assert value in known[name].get(label, ()), (rule["alert"], pair)
        for label in re.findall(r"by \(([^)]*)\)", expression):
            for one in label.split(", "):
                assert any(one in known[name] for name in names), (rule["alert"], one)


def tokens(expression):
    """Split an expression of Prometheus; every character belongs to a token."""
    found, position = [], 0
    while position < len(expression):
        match = TOKEN.match(expression, position)
        assert match, f"no token: {expression[position:]!r}"
        found.append(match.group())
        position = match.end()
    return [token for token in found if token.strip()]


def check_expression(expression, known):
    """Hold what Prometheus would refuse: brackets, unknown names, operators without operands."""
    open_brackets, found = [], tokens(expression)
    for place, token in enumerate(found):
        before, after = [None, *found][place], [*found, None][place + 1]
        if token in "({":
            owner = before if before and re.match(r"\w", before) else None
            open_brackets.append((token, owner))
        elif token in ")}":
            assert open_brackets, f"{token} without its opening"
            opening, owner = open_brackets.pop()
            assert opening + token in ("()", "{}")
            if owner in OVER_A_RANGE:
                assert before.startswith("["), f"{owner} needs a range"
        elif token.startswith("["):
            assert before == "}" or before in known
            assert open_brackets[-1][1] in OVER_A_RANGE
        elif re.match(r"[A-Za-z_]", token):
            inside, owner = open_brackets[-1] if open_brackets else (None, None)
            if inside == "{":
                assert after in ("=", "!=", "=~", "!~"), f"label {token} without a value"
            elif owner != "by":
                calls = after == "(" or after == "by"
                assert token in KEYWORDS | AGGREGATIONS | FUNCTIONS or token in known, token
                assert (token in AGGREGATIONS | FUNCTIONS) <= calls, token
        elif re.fullmatch(r"[-+*/%^<>]|==|!=|>=|<=", token):
            assert before not in (None, "(", ",")
            assert after not in (None, ")", ",")
            assert not re.fullmatch(r"[-+*/%^<>]|==|!=|>=|<=", after)
    assert not open_brackets, "a bracket is left open"


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_expression_can_be_read(rule):
    check_expression(rule["expr"], labels_of_metrics())
    assert re.fullmatch(r"\d+[smhd]", rule.get("for", "1m"))


@pytest.mark.parametrize(
    "expression",
    [
        "sum by (field) (increase(annotator_retrainings_total[1d]) > 0",
        "sum(up)) > 0",
        "max(annotator_pending_samples}",
        "incrase(annotator_retrainings_total[1d]) > 0",
        "rate(annotator_retrainings_total) > 0",
        "max(annotator_pending_samples[5m]) > 0",
        "max(annotator_waiting_samples) > 0",
        "max(up) > ",
        "max(up) > * 3",
        'max(up{job}) > "3',
        "max by (field) annotator_pending_samples;",
    ],
)
def test_expressions_that_cannot_be_read_are_found(expression):
    with pytest.raises(AssertionError):
        check_expression(expression, labels_of_metrics())


def test_every_alert_says_what_happened_and_what_to_do():
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found)
    for rule in found:
        assert rule["annotations"].keys() == {"summary", "action"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        for opening, closing in ("()", "{}", "[]"):
            assert rule["expr"].count(opening) == rule["expr"].count(closing)
        if "$labels.field" in rule["annotations"]["summary"]:
            assert re.search(r"by \((le, )?field(, organism)?\)", rule["expr"]), rule["alert"]


def metrics_table():
    """The table of figures, as it has to stand in the guide."""
    lines = ["| metric | labels | meaning |", "|---|---|---|"]
    for family in families(EXAMPLE):
        labels = ", ".join(family.samples[0].labels)
        lines.append(f"| `{family.samples[0].name}` | {labels} | {family.documentation} |")
    return "\n".join(lines)


def test_every_figure_is_documented():
    text = (GUIDES / "monitor.md").read_text()
    found = re.search(r"<!-- metrics -->\n(.*?)\n<!-- /metrics -->", text, re.S)
    assert found is not None
    assert found.group(1) == metrics_table()


@pytest.mark.parametrize("family", list(families(EXAMPLE)), ids=lambda family: family.name)
def test_every_figure_has_its_unit_in_its_name_and_a_meaning(family):
    assert family.name.startswith("annotator_")
    assert family.documentation.endswith(".")
    assert re.fullmatch(r"[a-z_]+", family.name)


def test_figures_that_nobody_knows_are_left_out():
    blank = FieldGauges("age", 0, None, 0, 0, 0, None, None, None, 0, None, {}, None, 0, None, None)
    names = {
        sample.name for family in families(Gauges((blank,), {}, 0)) for sample in family.samples
    }
    assert "annotator_oldest_pending_seconds" in names  # 0: nothing waits
    assert not {"annotator_live_release", "annotator_novelty_drift"} & names
