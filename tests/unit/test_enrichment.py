"""Over-representation of sets among the markers of classes."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.domain.explanations import ClassMarker
from annotator.errors import InputError, SettingsError
from annotator.explain.enrichment import enrichments, expressed_features
from annotator.explain.feature_sets import FeatureSet
from annotator.jobs.retrain.enrichment import named_features, reference_sets, release_enrichments

BACKGROUND = [f"f{number:02}" for number in range(40)]


def a_set(name, features):
    return FeatureSet(name, "", tuple(features))


def drawn(overlap, background, set_size, markers):
    """Probability of at least so many, counted out in whole numbers."""
    ways = sum(
        comb(set_size, k) * comb(background - set_size, markers - k)
        for k in range(overlap, min(set_size, markers) + 1)
    )
    return float(Fraction(ways, comb(background, markers)))


def test_a_set_among_the_markers():
    (found,) = enrichments(
        "mine",
        [a_set("s", ["f03", "f01", "f30", "unknown"])],
        {"c": BACKGROUND[:5]},
        {"c": BACKGROUND},
    )
    assert (found.source, found.set_name, found.class_name) == ("mine", "s", "c")
    assert (found.background, found.set_size, found.markers, found.overlap) == (40, 3, 5, 2)
    assert found.features == ("f01", "f03")  # the best marker first
    assert found.p_value == pytest.approx(drawn(2, 40, 3, 5), rel=1e-9)
    assert found.q_value == found.p_value  # the only test


@given(
    sets=st.lists(st.sets(st.sampled_from(BACKGROUND)), min_size=1, max_size=4),
    markers=st.lists(st.lists(st.sampled_from(BACKGROUND), unique=True), min_size=1, max_size=4),
)
def test_every_p_value_is_counted_out(sets, markers):
    found = enrichments(
        "mine",
        [a_set(f"s{number}", sorted(each)) for number, each in enumerate(sets)],
        {f"c{number}": each for number, each in enumerate(markers)},
        {f"c{number}": BACKGROUND for number in range(len(markers))},
    )
    assert [(one.class_name, one.set_name) for one in found] == [
        (f"c{c}", f"s{s}") for c in range(len(markers)) for s in range(len(sets))
    ]
    for one in found:
        assert one.overlap == len(one.features)
        wanted = drawn(one.overlap, 40, one.set_size, one.markers)
        assert one.p_value == pytest.approx(wanted, rel=1e-9)
        assert one.p_value <= one.q_value <= 1


def test_q_values_count_every_test_but_no_impossible_one():
    sets = [a_set("in", BACKGROUND[:4]), a_set("half", BACKGROUND[2:6]), a_set("absent", ["x"])]
    found = enrichments(
        "mine", sets, {"c": BACKGROUND[:4], "empty": []}, {"c": BACKGROUND, "empty": BACKGROUND}
    )
    p_in, p_half = found[0].p_value, found[1].p_value
    assert p_in < p_half
    assert found[0].q_value == pytest.approx(2 * p_in)  # two tests, and it is the first
    assert found[1].q_value == pytest.approx(p_half)
    for one in found[2:]:
        assert (one.overlap, one.p_value, one.q_value) == (0, 1.0, 1.0)
    assert found[2].set_size == 0
    assert found[3].markers == 0


def test_p_values_of_blind_draws_are_not_small():
    """Markers drawn blindly: a p-value below 0.05 in not more than about 5 in 100."""
    random = np.random.default_rng(4)
    background = [f"f{number}" for number in range(300)]
    markers = {
        f"c{number}": random.choice(background, 60, replace=False).tolist() for number in range(400)
    }
    found = enrichments(
        "mine", [a_set("s", background[:25])], markers, dict.fromkeys(markers, background)
    )
    share = np.mean([one.p_value <= 0.05 for one in found])
    assert 0.01 < share <= 0.065
    assert min(one.q_value for one in found) > 0.05


@pytest.mark.parametrize(
    ("markers", "background", "said"),
    [
        ({"c": ["f01"]}, [], "background of 'c' is empty"),
        ({"c": ["f01"]}, ["f01", "f01"], "names a feature twice"),
        ({"c": ["f01", "odd", "other"]}, ["f01"], "marker 'odd' of 'c' is not in its background"),
    ],
)
def test_what_cannot_be_tested(markers, background, said):
    with pytest.raises(InputError, match=said):
        enrichments("mine", [], markers, {"c": background})


def test_no_sets_and_no_classes():
    assert enrichments("mine", [], {"c": ["f01"]}, {"c": BACKGROUND}) == ()
    assert enrichments("mine", [a_set("s", ["f01"])], {}, {}) == ()


def test_names_of_other_namespaces_are_found():
    mature = ["hsa-miR-21-5p", "hsa-miR-21-3p", "hsa-miR-133a-3p/133b", "hsa-miR-9-5p", "SNORD44"]
    assert named_features(["MIMAT0000076", "HSA-MIR-9-5P"], mature) == {mature[0], mature[3]}
    assert named_features(["hsa-mir-21"], mature) == {mature[0]}  # its main product
    assert named_features(["hsa-miR-133a-3p", "hsa-miR-133b"], mature) == {mature[2]}
    assert named_features(["snord44", "TP53"], mature) == {"SNORD44"}


def test_copies_of_a_stem_loop_are_one_finding():
    stem_loops = ["hsa-mir-9-1", "hsa-mir-9-2", "hsa-mir-9-3", "hsa-mir-205"]
    assert named_features(["hsa-miR-9-5p"], stem_loops) == {"hsa-mir-9-1"}
    assert named_features(["hsa-miR-205-5p", "hsa-miR-205-3p"], stem_loops) == {"hsa-mir-205"}


def marker(class_name, rank, feature):
    return ClassMarker(class_name, rank, feature, 1.0, None, None, None, (1.0, 2.0))


def test_a_class_is_tested_with_what_it_has():
    expression = np.array([[0.0, 5.0, 1.0], [5.0, 5.0, 0.0], [900.0, 5.0, 2.0]])
    found = expressed_features(expression, ["blood", "brain", "skin"], ["a", "same", "c"])
    assert found == {"blood": (), "brain": (), "skin": ("a", "c")}


def test_each_class_has_its_own_background():
    backgrounds = {"c": BACKGROUND[:20], "d": BACKGROUND[10:]}
    first, second = enrichments(
        "mine",
        [a_set("s", BACKGROUND[8:14])],
        {"c": BACKGROUND[5:12], "d": BACKGROUND[12:14]},
        backgrounds,
    )
    assert (first.background, first.set_size, first.markers, first.overlap) == (20, 6, 7, 4)
    assert first.p_value == pytest.approx(drawn(4, 20, 6, 7), rel=1e-9)
    assert (second.background, second.set_size, second.markers, second.overlap) == (30, 4, 2, 2)
    assert second.p_value == pytest.approx(drawn(2, 30, 4, 2), rel=1e-9)


def test_markers_that_only_follow_expression_are_no_enrichment():
    """A set of what a class expresses, and markers drawn blindly among that."""
    random = np.random.default_rng(8)
    classes = [f"c{number}" for number in range(6)]
    features = [f"f{number}" for number in range(300)]
    small = []
    for _ in range(100):
        expression = random.gamma(1.0, size=(6, 300))
        has = np.flatnonzero(expression[0] > np.median(expression, axis=0))
        chosen = random.choice(has, 40, replace=False)
        markers = [marker("c0", rank, features[each]) for rank, each in enumerate(chosen, 1)]
        of_class = [features[each] for each in random.choice(has, 20, replace=False)]
        found = release_enrichments(
            {"mine": (a_set("s", of_class),)}, markers, classes, features, expression
        )
        small.append(found[0].p_value <= 0.05)
    assert np.mean(small) <= 0.12  # 5 in 100, within what 100 draws can give


def test_the_markers_of_a_release_against_table_4_and_a_file(tmp_path):
    (tmp_path / "own.gmt").write_text("nerve\t\thsa-miR-9-5p\n")
    background = ["hsa-miR-124-3p", "hsa-miR-9-5p", "hsa-miR-205-5p", "hsa-miR-1", "SNORD44"]
    markers = [marker("brain", 2, background[1]), marker("brain", 1, background[0])]
    # Brain has all but the last, which is skin's.
    expression = np.array([[0.0, 0.0, 0.0, 0.0, 9.0], [5.0, 5.0, 5.0, 5.0, 0.0]])
    found = release_enrichments(
        reference_sets([tmp_path / "own.gmt"]), markers, ["skin", "brain"], background, expression
    )
    of = {(one.source, one.set_name, one.class_name): one for one in found}
    assert of["table4", "brain", "brain"].features == ("hsa-miR-124-3p", "hsa-miR-9-5p")
    assert of["table4", "brain", "brain"].p_value == pytest.approx(1 / 6)  # two of two among four
    assert of["own.gmt", "nerve", "brain"].overlap == 1
    assert of["table4", "skin", "skin"].markers == 0
    assert len(found) == 2 * 6 + 2


def test_two_files_of_one_name(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "own.gmt").write_text("nerve\t\thsa-miR-9-5p\n")
    with pytest.raises(SettingsError, match=r"two files named 'own\.gmt'"):
        reference_sets([tmp_path / "a" / "own.gmt", tmp_path / "b" / "own.gmt"])
