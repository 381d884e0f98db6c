from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from annotator.domain.fields import Level
from annotator.domain.held_out import HeldOutPredictions, Metric
from annotator.domain.profiles import Cohort
from annotator.errors import CohortError
from annotator.learn.labels.classes import LabelOptions
from annotator.learn.labels.ontology import Ontology
from annotator.learn.models.linear import LinearOptions
from annotator.learn.release.files import write_model
from annotator.learn.release.fitting import TrainingSamples
from annotator.learn.running.parallel import Parallelism
from annotator.learn.selective.policy import SelectiveOptions
from annotator.learn.validation.cross_calibration import cross_calibrated, release_calibration
from annotator.learn.validation.folds import FoldData, fit_part, fold_seed
from annotator.learn.validation.metrics import metrics_of
from annotator.learn.validation.validate import cross_validate, one_dataset_out
from tests.support.made_up_cohort import (
    FOREST,
    LIGHT,
    NO_ONTOLOGY,
    PLAIN,
    SEED,
    made_cohort,
    made_plan,
)

HELD_OUT = "d0"


def _with_counts(cohort: Cohort, counts: np.ndarray) -> Cohort:
    return replace(cohort, profiles=replace(cohort.profiles, counts=csr_matrix(counts)))


def _fold_data(cohort: Cohort, preset=LIGHT) -> FoldData:
    """Fold 0 is the held-out dataset."""
    classes = tuple(sorted(set(cohort.values)))
    folds = np.unique(cohort.dataset_ids, return_inverse=True)[1].astype(np.int64)
    return FoldData(
        samples=TrainingSamples(cohort.profiles, cohort.values, cohort.dataset_ids, classes),
        definition=cohort.definition,
        fold_of=folds,
        preset=preset,
        seed=SEED,
        threads=1,
    )


def _what_training_yields(cohort: Cohort):
    """Every byte of the fold's models."""
    data = _fold_data(cohort)
    training = np.flatnonzero(data.fold_of != 0)
    model = fit_part(data, training, fold_seed(SEED, 0))
    content = {a.name: a.content for a in write_model(model)}
    assert len(content) >= 4
    return content


def _dataset_out(cohort: Cohort, preset=LIGHT, **options):
    return one_dataset_out(cohort, NO_ONTOLOGY, made_plan(preset), **options)


def _assert_same(first, second, rows=slice(None)) -> None:
    assert set(first.probabilities) == set(second.probabilities)
    for kind, probabilities in first.probabilities.items():
        assert np.array_equal(probabilities[rows], second.probabilities[kind][rows]), kind


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return made_cohort()


@pytest.fixture(scope="module")
def validation(cohort):
    return _dataset_out(cohort)


def test_every_sample_is_predicted_by_models_that_lack_its_dataset(cohort, validation):
    predictions = validation.predictions
    assert predictions.sample_ids.tolist() == cohort.profiles.sample_ids.tolist()
    assert predictions.folds.tolist() == [int(dataset[1:]) for dataset in cohort.dataset_ids]
    assert set(predictions.probabilities) == {"forest", "boosting", "combined"}
    assert set(validation.raw.probabilities) == {"forest", "boosting"}
    for probabilities in predictions.probabilities.values():
        assert probabilities.shape == (36, 2)
        assert np.allclose(probabilities.sum(axis=1), 1)
    assert validation.metrics == metrics_of(predictions)
    assert validation.description.startswith("one dataset out: each of 3 datasets")


def test_what_is_learned_holds_for_unseen_datasets(validation):
    figures = {m.name: m.value for m in validation.metrics if m.model_kind == "combined"}
    assert figures["accuracy"] > 0.8


def test_labels_of_the_held_out_dataset_do_not_reach_its_predictions(cohort, validation):
    held_out = cohort.dataset_ids == HELD_OUT
    values = cohort.values.copy()
    values[held_out] = np.random.default_rng(0).permutation(values[held_out])
    assert (values != cohort.values).any()
    again = _dataset_out(replace(cohort, values=values))
    _assert_same(again.raw, validation.raw, held_out)
    # The other folds were trained on them, so that this test can fail.
    with pytest.raises(AssertionError):
        _assert_same(again.raw, validation.raw, ~held_out)


def test_the_calibration_of_a_fold_is_fitted_on_the_other_folds_only(validation):
    raw = validation.raw
    held_out = raw.dataset_ids == HELD_OUT
    turned = raw.truth.copy()
    turned[held_out] = turned[held_out][::-1]
    again, _ = cross_calibrated(replace(raw, truth=turned), LIGHT)
    _assert_same(again, validation.predictions, held_out)
    with pytest.raises(AssertionError):
        _assert_same(again, validation.predictions, ~held_out)


def test_the_pooling_of_a_fold_is_fitted_on_the_other_folds_only():
    random = np.random.default_rng(3)
    dataset = np.repeat(np.arange(30), 4)
    truth = random.integers(0, 2, 30)[dataset]
    p = np.clip(random.normal(np.where(truth == 1, 0.6, 0.4), 0.15), 0.02, 0.98)
    raw = HeldOutPredictions(
        sample_ids=np.array([f"s{i:03}" for i in range(120)], dtype=object),
        dataset_ids=np.array([f"D{i:02}" for i in dataset], dtype=object),
        truth=np.array(["no", "yes"], dtype=object)[truth],
        folds=dataset % 3,
        classes=("no", "yes"),
        probabilities={"forest": np.column_stack([1 - p, p])},
    )
    found, _ = cross_calibrated(raw, LIGHT)
    assert not np.allclose(
        found.probabilities["combined"], found.probabilities["forest"], atol=0.05
    )
    assert release_calibration(raw, LIGHT).pooling.strength > 0
    held_out = raw.folds == 0
    turned = raw.truth.copy()
    turned[held_out] = random.permutation(turned[held_out])
    again, _ = cross_calibrated(replace(raw, truth=turned), LIGHT)
    _assert_same(again, found, held_out)
    with pytest.raises(AssertionError):
        _assert_same(again, found, ~held_out)


def test_a_feature_that_gives_the_held_out_labels_away_does_not_help(cohort, validation):
    held_out = cohort.dataset_ids == HELD_OUT
    leak = np.where(held_out, np.where(cohort.values == "male", 500.0, 1.0), 0.0)
    counts = np.column_stack([cohort.profiles.counts.toarray(), leak]).astype(np.float32)
    profiles = cohort.profiles
    planted = replace(
        cohort,
        profiles=replace(
            profiles,
            features=np.append(profiles.features, "leak"),
            kinds=np.append(profiles.kinds, "contaminant"),  # so that no total changes
            counts=csr_matrix(counts),
        ),
    )
    assert _what_training_yields(planted) == _what_training_yields(cohort)
    again = _dataset_out(planted)
    _assert_same(again.raw, validation.raw, held_out)
    # Models that were fitted on the held-out dataset would have used it.
    everything = fit_part(_fold_data(planted), np.arange(len(leak)), SEED)
    assert "leak" in everything.features


def test_a_known_feature_that_gives_the_held_out_labels_away_is_not_preferred(cohort):
    held_out = cohort.dataset_ids == HELD_OUT
    counts = cohort.profiles.counts.toarray()
    counts[held_out, 20] = np.where(cohort.values[held_out] == "male", 5000, 0)
    planted = _with_counts(cohort, counts)
    assert _what_training_yields(planted) == _what_training_yields(cohort)


def test_the_scale_of_held_out_counts_does_not_reach_training(cohort):
    held_out = cohort.dataset_ids == HELD_OUT
    counts = cohort.profiles.counts.toarray()
    counts[held_out] *= 7
    assert _what_training_yields(_with_counts(cohort, counts)) == _what_training_yields(cohort)
    counts[~held_out] += 1
    assert _what_training_yields(_with_counts(cohort, counts)) != _what_training_yields(cohort)


def test_workers_change_nothing(cohort, validation):
    seen: list[tuple[int, int]] = []
    again = _dataset_out(
        cohort, parallel=Parallelism(workers=2), progress=lambda *step: seen.append(step)
    )
    _assert_same(again.predictions, validation.predictions)
    _assert_same(again.raw, validation.raw)
    assert seen == [(done, 3) for done in range(4)]


def _seen(model, profiles, labels):
    """Return the arguments of an inspection as plain data; workers must be able to import it."""
    forest = model.predict_raw(profiles)["forest"]
    return profiles.sample_ids.tolist(), labels.tolist(), model.classes, forest.tobytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_inspection_sees_each_folds_model_and_training_part(cohort, validation, workers):
    found = _dataset_out(cohort, parallel=Parallelism(workers=workers), inspect=_seen)
    _assert_same(found.predictions, validation.predictions)
    assert validation.inspected == ()
    data = _fold_data(cohort)
    assert len(found.inspected) == 3
    for fold, (samples, labels, classes, said) in enumerate(found.inspected):
        training = np.flatnonzero(data.fold_of != fold)
        assert samples == cohort.profiles.sample_ids[training].tolist()
        assert labels == cohort.values[training].tolist()
        assert classes == data.samples.classes
        own = fit_part(data, training, fold_seed(SEED, fold))
        assert said == own.predict_raw(cohort.profiles.take(training))["forest"].tobytes()


def test_datasets_can_be_grouped(cohort):
    grouped = _dataset_out(cohort, PLAIN, folds=2)
    assert "3 datasets in 2 folds" in grouped.description
    assert len(set(grouped.predictions.folds)) == 2
    for dataset in set(cohort.dataset_ids):
        of_dataset = grouped.predictions.dataset_ids == dataset
        assert len(set(grouped.predictions.folds[of_dataset])) == 1


def test_without_calibration_predictions_are_raw_and_their_mean(cohort):
    plain = _dataset_out(cohort, LIGHT.changed({"calibrate": False}), folds=2)
    raw, predicted = plain.raw.probabilities, plain.predictions.probabilities
    assert np.array_equal(predicted["forest"], raw["forest"])
    assert np.allclose(predicted["combined"], (raw["forest"] + raw["boosting"]) / 2)


def test_cross_validation_scores_every_sample(cohort):
    found = cross_validate(cohort, NO_ONTOLOGY, made_plan(PLAIN), folds=3)
    assert found.scheme == "cv"
    assert len(found.predictions.sample_ids) == 36
    assert set(found.predictions.folds) == {0, 1, 2}
    mixed = [set(found.predictions.folds[cohort.dataset_ids == d]) for d in ("d0", "d1")]
    assert all(len(folds) > 1 for folds in mixed)
    assert found.description.startswith("3-fold cross-validation: 36 samples")


def test_the_seed_decides(cohort):
    first, again, other = (
        cross_validate(cohort, NO_ONTOLOGY, made_plan(PLAIN, seed=seed), folds=2)
        for seed in (1, 1, 2)
    )
    _assert_same(first.predictions, again.predictions)
    assert not np.array_equal(first.predictions.folds, other.predictions.folds)


def test_a_class_of_one_dataset_is_not_scored_there_but_learned_elsewhere():
    cohort = made_cohort(("a", "b", "c"), "tissue")
    values = cohort.values.copy()
    values[(values == "c") & (cohort.dataset_ids != HELD_OUT)] = "a"
    options = LabelOptions(minimum_samples=4, minimum_datasets=1)
    found = one_dataset_out(replace(cohort, values=values), NO_ONTOLOGY, made_plan(PLAIN, options))
    predictions = found.predictions
    assert predictions.classes == ("a", "b", "c")
    assert len(predictions.truth) == 36 - 4
    assert "c" not in predictions.truth
    in_fold = predictions.dataset_ids == HELD_OUT
    combined = predictions.probabilities["combined"]
    assert (combined[in_fold, 2] == 0).all()
    assert (combined[~in_fold, 2] > 0).any()
    assert len(found.baselines.sample_ids) == 32


def test_values_without_a_class_take_no_part():
    cohort = made_cohort(("a", "b"), "tissue")
    values = cohort.values.copy()
    values[[0, 15]] = "rare"
    found = _dataset_out(replace(cohort, values=values), PLAIN)
    assert found.label_set.classes == ("a", "b")
    assert "rare" in found.label_set.dropped
    assert len(found.predictions.sample_ids) == 34
    assert not {"s000", "s015"} & set(found.predictions.sample_ids)


def test_baselines_are_of_the_same_samples(validation):
    assert set(validation.baselines.probabilities) == {
        "majority",
        "known_fields",
        "logistic_regression",
    }
    for name in ("sample_ids", "truth", "folds"):
        ours, theirs = getattr(validation.predictions, name), getattr(validation.baselines, name)
        assert np.array_equal(ours, theirs)


def test_one_class_is_not_enough(cohort):
    alone = replace(cohort, values=np.full(36, "male", dtype=object))
    with pytest.raises(CohortError, match=r"sex: 1 class\(es\)"):
        _dataset_out(alone)


def test_classes_that_never_cross_datasets_cannot_be_validated():
    cohort = made_cohort(("a", "b"), "tissue", datasets=2)
    split = replace(cohort, values=np.where(cohort.dataset_ids == "d0", "a", "b").astype(object))
    options = LabelOptions(minimum_samples=1, minimum_datasets=1)
    with pytest.raises(CohortError, match="no held-out sample could be scored"):
        one_dataset_out(split, NO_ONTOLOGY, made_plan(PLAIN, options))


def test_a_release_is_calibrated_on_all_held_out_predictions(cohort, validation):
    calibration = release_calibration(validation.raw, LIGHT)
    assert calibration is not None
    assert calibration.samples == 36
    assert set(calibration.slopes) == {"forest", "boosting"}
    assert release_calibration(validation.raw, PLAIN) is None


def test_samples_of_terms_that_no_other_dataset_holds_are_told_apart():
    """Term a1 is in dataset d0 alone, where it is known as its group a through a2."""
    cohort = made_cohort(("a1", "a2", "b1"), "tissue", datasets=4, size=24)
    values = np.where((cohort.values == "a1") & (cohort.dataset_ids != "d0"), "a2", cohort.values)
    by_group = replace(cohort.definition, level=Level.GROUP)
    cohort = replace(cohort, definition=by_group, values=values)
    ontology = Ontology({"a1": ("a",), "a2": ("a",), "b1": ("b",)})
    plan = made_plan(FOREST, selective=SelectiveOptions(target_precision=0.6))
    found = one_dataset_out(cohort, ontology, plan)
    held_out, alone = found.predictions, values == "a1"
    assert held_out.sample_ids.tolist() == cohort.profiles.sample_ids.tolist()
    correct = held_out.correct("combined")
    figures = {metric.name: metric for metric in found.metrics if metric.model_kind == "combined"}
    new, learned = figures["accuracy_of_new_terms"], figures["accuracy_of_learned_terms"]
    assert (new.samples, new.datasets) == (alone.sum(), 1)
    assert (learned.samples, learned.datasets) == ((~alone).sum(), 4)
    assert new.value == pytest.approx(correct[alone].mean())
    assert learned.value == pytest.approx(correct[~alone].mean())
    # At random, its term is learned from the dataset's other samples.
    at_random = cross_validate(cohort, ontology, plan, folds=3)
    names = {metric.name for metric in at_random.metrics}
    assert "answered" in names
    assert "accuracy_of_new_terms" not in names


def test_years_are_no_terms():
    """Every sample has an age of its own, which training samples of course lack."""
    cohort = made_cohort(field="age", datasets=4, size=24)
    years = np.where(cohort.values == "male", 30.0, 70.0) + np.arange(96) / 10
    aged = replace(cohort, values=years.astype(str).astype(object), numbers=years)
    plan = made_plan(FOREST, selective=SelectiveOptions(target_precision=0.6))
    names = {metric.name for metric in one_dataset_out(aged, NO_ONTOLOGY, plan).metrics}
    assert "answered" in names
    assert "accuracy_of_new_terms" not in names


def test_samples_whose_tissue_gives_sex_away_take_no_part():
    cohort = made_cohort(datasets=4, size=24)
    tissue = np.where(np.arange(96) % 5 == 0, "left ovary", "blood").astype(object)
    ontology = Ontology({"left ovary": ("ovary",)})
    known = replace(cohort, known={"tissue": tissue})
    found = one_dataset_out(known, ontology, made_plan(PLAIN))
    assert found.label_set.left_out == 20
    assert len(found.predictions.truth) == 76
    assert found.baselines.sample_ids.tolist() == found.predictions.sample_ids.tolist()
    gone = cohort.profiles.sample_ids[tissue == "left ovary"]
    assert not set(gone) & set(found.predictions.sample_ids)


NUMBERS = PLAIN.changed(
    {"forest": None, "linear": LinearOptions((), 0.0, random_units=300, ridge=1.0)}
)


def _aged(seed=0) -> Cohort:
    """Samples with years, of which 30 and 75 are usual."""
    cohort = made_cohort(field="age", datasets=4, size=24)
    noise = np.random.default_rng(seed).normal(0, 4, 96)
    age = np.where(cohort.values == "male", 75.0, 30.0) + noise
    values = np.array([f"{each:.1f}" for each in age], dtype=object)
    return replace(cohort, values=values, numbers=age)


def _errors(validation) -> dict[str, Metric]:
    return {m.model_kind: m for m in validation.metrics if m.name == "mean_absolute_error"}


def test_numbers_are_predicted_where_a_field_has_them():
    aged = _aged()
    found = _dataset_out(aged, NUMBERS)
    numbers = found.predictions.numbers
    assert numbers.shape == (96, 3)
    assert np.array_equal(numbers[:, 0], aged.numbers)
    errors = _errors(found)
    assert errors["linear"].value < 0.8 * errors["known_fields"].value
    raw = found.raw.probabilities["linear"]
    order = np.argsort(numbers[:, 1])
    in_fold = [row for row in order if found.predictions.folds[row] == 0]
    assert (np.diff(raw[in_fold, 1]) >= -1e-9).all(), "the order of years is the order of classes"


def test_one_label_of_an_interval_alone_does_not_switch_years_off():
    aged = _aged()
    whole = _dataset_out(aged, NUMBERS)
    values, numbers = aged.values.copy(), aged.numbers.copy()
    # Its interval is known all the same, as where a curator gave that and no year.
    values[5], numbers[5] = "(65;110]" if aged.numbers[5] > 65 else "[0;65]", np.nan
    found = _dataset_out(replace(aged, values=values, numbers=numbers), NUMBERS)
    assert found.label_set.classes == whole.label_set.classes
    predicted = found.predictions.numbers
    assert np.isnan(predicted[5, 0])
    assert np.isfinite(np.delete(predicted, 5, axis=0)).all()
    assert np.isfinite(predicted[5, 1:]).all()
    errors = _errors(found)
    known = np.delete(predicted, 5, axis=0)
    assert errors["linear"].samples == errors["known_fields"].samples == 95
    assert errors["linear"].value == pytest.approx(np.abs(known[:, 0] - known[:, 1]).mean())
    assert errors["linear"].value == pytest.approx(_errors(whole)["linear"].value, rel=0.1)


def test_the_usual_years_of_an_interval_are_its_own_where_a_fold_lacks_another():
    """The fold that is held out has all samples of the first interval."""
    cohort = made_cohort(("[0;20]", "(20;40]", "(40;60]"), "age", datasets=4, size=24)
    values = cohort.values.copy()
    first = values == "[0;20]"
    values[first & (cohort.dataset_ids != HELD_OUT)] = "(20;40]"
    years = np.select([values == "[0;20]", values == "(20;40]"], [10.0, 30.0], np.nan)
    data = _fold_data(replace(cohort, values=values), NUMBERS)
    samples = replace(
        data.samples,
        classes=("[0;20]", "(20;40]", "(40;60]"),
        numbers=years,
        limits=(0.0, 20.0, 40.0, 60.0),
    )
    data = replace(data, samples=samples)
    training = np.flatnonzero(data.fold_of != 0)
    model = fit_part(data, training, SEED)
    assert model.classes == samples.classes[1:]
    predicted = model.numbers(model.inputs(cohort.profiles.take(training)))
    last = values[training] == "(40;60]"
    assert np.median(predicted[last]) > 40 > np.median(predicted[~last])


def test_labels_of_intervals_alone_give_no_years():
    aged = _aged()
    names = np.where(aged.numbers > 65, "(65;110]", "[0;65]").astype(object)
    found = _dataset_out(replace(aged, values=names, numbers=np.full(96, np.nan)), NUMBERS)
    assert found.predictions.numbers is None
    assert not _errors(found)
