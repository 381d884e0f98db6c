"""Broken samples are quarantined with the right reason, and the rest go on."""

from __future__ import annotations

from tests.support.faults import poison as fault_poison
from tests.support.faults.atlas import fault_settings


def test_every_sort_of_broken_sample_is_quarantined_and_the_rest_finish(database, settings):
    samples = round(len(fault_poison.POISONS) / fault_poison.SHARE)
    outcomes = fault_poison.run_poison(database, fault_settings(settings), samples, passes=2)
    assert len(outcomes) == len(fault_poison.POISONS) + 2
    failed = [outcome for outcome in outcomes if outcome.withstood != outcome.tried]
    assert failed == []
    (beside,) = [each for each in outcomes if each.fault == "samples beside them"]
    assert beside.tried == 0.95 * samples
