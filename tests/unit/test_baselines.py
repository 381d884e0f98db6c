from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from annotator.domain.fields import FIELDS
from annotator.domain.profiles import Cohort, Profiles
from annotator.learn.labels.ontology import Ontology
from annotator.learn.validation.baselines import baseline_predictions

SEXES = ("female", "male")


def _cohort(field, values, datasets, tissue=None):
    n = len(values)
    none = np.empty(0, dtype=object)
    return Cohort(
        definition=FIELDS[field],
        profiles=Profiles(
            sample_ids=np.array([f"s{i}" for i in range(n)], dtype=object),
            features=none,
            kinds=none,
            counts=csr_matrix((n, 0), dtype=np.float32),
        ),
        dataset_ids=np.array(datasets, dtype=object),
        values=np.array(values, dtype=object),
        numbers=np.full(n, np.nan),
        known={} if tissue is None else {"tissue": np.array(tissue, dtype=object)},
    )


def _sex_cohort(rows):
    """Rows of (sex, dataset, tissue)."""
    sex, dataset, tissue = zip(*rows, strict=True)
    cohort = _cohort("sex", sex, dataset, tissue)
    folds = np.unique(cohort.dataset_ids, return_inverse=True)[1].astype(np.int64)
    return cohort, cohort.values, folds


def test_majority_is_that_of_the_training_part():
    labels = ["a", "a", "a", "b", "b", "a"]
    cohort = _cohort("tissue", labels, ["1", "1", "1", "2", "2", "2"])
    folds = np.array([0, 0, 0, 1, 1, 1])
    found = baseline_predictions(cohort, cohort.values, folds, ("a", "b"))
    assert set(found.probabilities) == {"majority"}
    # Fold 1 is held out from three of class a alone: it cannot be scored.
    assert found.sample_ids.tolist() == ["s0", "s1", "s2"]
    assert found.probabilities["majority"][0] == pytest.approx([1 / 3, 2 / 3])


ROWS = (
    [("female", "1", "ovary")] * 6
    + [("male", "1", "prostate")] * 2
    + [("male", "1", "blood")] * 3
    + [("female", "1", "blood")] * 3
    + [("male", "2", "prostate"), ("female", "2", "ovary"), ("male", "2", "")]
    + [("male", "2", "unheard of"), ("female", "2", "blood")]
)


def test_known_fields_give_the_posterior_under_equal_priors():
    found = baseline_predictions(*_sex_cohort(ROWS), SEXES)
    held = dict(zip(found.sample_ids, found.probabilities["known_fields"], strict=True))
    # Training: 9 female (6 ovary, 3 blood), 5 male (2 prostate, 3 blood).
    female, male = 1 / 11, 3 / 7
    assert held["s14"] == pytest.approx([female / (female + male), male / (female + male)])
    female, male = 7 / 11, 1 / 7
    assert held["s15"] == pytest.approx([female / (female + male), male / (female + male)])
    # Blood speaks for male here, though more of it is not: males are fewer.
    female, male = 4 / 11, 4 / 7
    assert held["s18"] == pytest.approx([female / (female + male), male / (female + male)])


def test_without_a_known_value_the_shares_in_training_are_given():
    found = baseline_predictions(*_sex_cohort(ROWS), SEXES)
    held = dict(zip(found.sample_ids, found.probabilities["known_fields"], strict=True))
    for sample in ("s16", "s17"):
        assert held[sample] == pytest.approx([9 / 14, 5 / 14])


def test_an_unseen_value_is_known_through_its_ancestor():
    rows = [*ROWS, ("male", "3", "apex of prostate")]
    cohort, labels, folds = _sex_cohort(rows)
    ontology = Ontology({"apex of prostate": ("prostate",), "prostate": ("gland",)})
    blind = baseline_predictions(cohort, labels, folds, SEXES)
    seeing = baseline_predictions(cohort, labels, folds, SEXES, ontology)
    assert blind.predicted("known_fields")[-1] == "female"
    assert seeing.predicted("known_fields")[-1] == "male"


def test_the_held_out_labels_are_not_looked_at():
    cohort, labels, folds = _sex_cohort(ROWS)
    before = baseline_predictions(cohort, labels, folds, SEXES)
    turned = labels.copy()
    turned[14:] = np.where(labels[14:] == "male", "female", "male")
    after = baseline_predictions(cohort, turned, folds, SEXES)
    for kind, probabilities in before.probabilities.items():
        assert np.array_equal(probabilities[14:], after.probabilities[kind][14:])


def test_samples_without_a_class_take_no_part():
    cohort, labels, folds = _sex_cohort(ROWS)
    labels = labels.copy()
    labels[[0, 15]] = ""
    found = baseline_predictions(cohort, labels, folds, SEXES)
    assert "s0" not in found.sample_ids
    assert "s15" not in found.sample_ids
    held = dict(zip(found.sample_ids, found.probabilities["majority"], strict=True))
    assert held["s14"] == pytest.approx([8 / 13, 5 / 13])
