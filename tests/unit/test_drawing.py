from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from annotator.learn.validation.drawing import drawn_rows
from annotator.learn.validation.validate import cross_validate, labelled_samples, one_dataset_out
from tests.support.made_up_cohort import FOREST, NO_ONTOLOGY, OPTIONS, made_cohort, made_plan

LABELLED = st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("ABCDE")), max_size=60)


def _arrays(pairs):
    labels, datasets = (np.array([pair[i] for pair in pairs], dtype=object) for i in (0, 1))
    return labels, datasets


@given(pairs=LABELLED, most=st.integers(0, 70), seed=st.integers(0, 5))
def test_as_many_samples_as_possible_are_drawn_and_the_largest_parts_are_cut(pairs, most, seed):
    labels, datasets = _arrays(pairs)
    rows = drawn_rows(labels, datasets, most, seed)
    assert rows.tolist() == sorted(set(rows.tolist()))
    sizes, drawn = Counter(pairs), Counter(pairs[row] for row in rows)
    if most == 0 or len(pairs) <= most:
        assert len(rows) == len(pairs)
        return
    limit = max(drawn.values())
    assert drawn == {part: min(size, limit) for part, size in sizes.items()}
    assert len(rows) <= most or limit == 1
    assert sum(min(size, limit + 1) for size in sizes.values()) > most


def test_the_seed_decides_which_samples_are_drawn():
    labels, datasets = _arrays([("x", "A")] * 100 + [("y", "B")] * 5)
    first, again, other = (drawn_rows(labels, datasets, 20, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert set(range(100, 105)) <= set(first)


def test_models_are_fitted_on_drawn_samples_and_every_held_out_sample_is_predicted():
    cohort = made_cohort()
    whole, limited = FOREST, FOREST.changed({"training_samples": 12})
    for validate in (one_dataset_out, cross_validate):
        on_all = validate(cohort, NO_ONTOLOGY, made_plan(whole))
        on_some = validate(cohort, NO_ONTOLOGY, made_plan(limited))
        sample_ids = cohort.profiles.sample_ids.tolist()
        assert on_some.predictions.sample_ids.tolist() == sample_ids
        raw = on_all.raw.probabilities["forest"], on_some.raw.probabilities["forest"]
        assert not np.array_equal(*raw)
        assert on_all.notes == ()
        (note,) = on_some.notes
        assert "12 of 36" in note


def test_a_limit_that_no_training_part_reaches_changes_nothing():
    cohort = made_cohort()
    on_all = one_dataset_out(cohort, NO_ONTOLOGY, made_plan(FOREST))
    limited = one_dataset_out(
        cohort, NO_ONTOLOGY, made_plan(FOREST.changed({"training_samples": 36}))
    )
    assert np.array_equal(on_all.raw.probabilities["forest"], limited.raw.probabilities["forest"])
    labelled = labelled_samples(cohort, NO_ONTOLOGY, OPTIONS)
    assert labelled.drawn(made_plan(FOREST)) is labelled
