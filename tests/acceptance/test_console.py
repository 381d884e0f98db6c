"""What a retraining prints: our own lines, each of them once."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.presets import LIGHT, LIGHT_WITHOUT_NETWORK

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (INFO|WARNING|ERROR) ")


# TensorFlow is loaded by the processes that validate, and by the one that fits the release.
@pytest.mark.parametrize(
    ("log_format", "workers", "seed", "preset"),
    [("json", 2, 2, LIGHT), ("text", 1, 3, LIGHT_WITHOUT_NETWORK)],
    ids=["json", "text"],
)
def test_retraining_prints_nothing_but_our_lines(trained, log_format, workers, seed, preset):
    ended = trained.run(
        *("retrain", "--field", "sex"),
        ANNOTATOR_LOG_FORMAT=log_format,
        ANNOTATOR_WORKERS=str(workers),
        ANNOTATOR_SEED=str(seed),
        ANNOTATOR_PRESET=str(preset),
        ANNOTATOR_CROSS_VALIDATION_FOLDS="0",
        TF_ENABLE_ONEDNN_OPTS="1",  # as by itself on newer processors: TensorFlow prints that
    )
    lines = ended.err.splitlines()
    assert lines
    for line in lines:
        if log_format == "json":
            assert {"at", "level", "message"} <= json.loads(line).keys()
        else:
            assert LINE.match(line), line
    (card,) = trained.rows("select reasons from model_card order by release_id desc limit 1")
    assert card["reasons"]
    for reason in card["reasons"]:
        assert (ended.out + ended.err).count(reason) == 1
