"""Every query of the curator's guide runs on a simulated atlas, as a curator."""

from __future__ import annotations

import re

from annotator.settings import Settings
from annotator.store.server.connection import open_database
from tests.support import ROOT
from tests.support.store import as_curator

GUIDE = (ROOT / "docs" / "guides" / "curate.md").read_text(encoding="utf-8")
VARIABLE = re.compile(r"(?<!:):([a-z_]+)\b")
# What has something to show on any atlas with suggestions and a decision.
SHOWN = {1, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 20, 21, 22, 25, 26, 27, 28, 29}


def statements() -> list[tuple[int, str]]:
    """The number and text of each statement."""
    found = []
    for block in re.findall(r"```sql\n(.*?)```", GUIDE, flags=re.S):
        for number, text in re.findall(r"^-- (\d+)\..*\n((?:(?!^-- \d).*\n?)*)", block, flags=re.M):
            parts = re.split(r";\s*(?:\n|$)", text)
            found += [(int(number), part.strip()) for part in parts if part.strip()]
    return found


def test_queries_are_numbered_from_one_without_a_gap():
    numbers = [number for number, _ in statements()]
    assert list(dict.fromkeys(numbers)) == list(range(1, max(numbers) + 1))


def test_every_query_of_the_guide(trained):
    trained.run("annotate", ANNOTATOR_TARGET_PRECISION="0.5")
    with (
        open_database(Settings(home=trained.home)) as database,
        as_curator(database) as connection,
    ):
        rows = connection.execute(
            "select prediction_id, sample_id, dataset_id, top_features[1] from suggestion"
            " where field = 'tissue' and status = 'suggested' order by prediction_id"
        ).fetchall()
        assert len(rows) > 4
        features = [row[3] for row in rows if row[3] is not None]
        empty = set()
        for number, statement in statements():
            undecided = connection.execute(
                "select p.prediction_id, p.sample_id, p.dataset_id from suggestion p"
                " where field = 'tissue' and status = 'suggested' order by 1 limit 1"
            ).fetchone()
            prediction, sample, dataset = undecided or rows[-1][:3]
            review = connection.execute("select max(review_id) from review").fetchone()
            values = {
                "prediction_id": prediction,
                "sample_id": sample if number != 13 else rows[0][1],
                "dataset_id": dataset,
                "feature": features[0],
                "value": "blood",
                "review_id": review[0] if review else None,
            }
            if "_suggestion(" not in statement and number < 15:
                values |= {"prediction_id": rows[0][0], "dataset_id": rows[0][2]}
            ready = VARIABLE.sub(lambda name, known=values: quoted(known[name.group(1)]), statement)
            cursor = connection.cursor()
            if ready.startswith("copy"):
                with cursor.copy(ready) as copy:
                    lines = b"".join(bytes(part) for part in copy).decode().splitlines()
                assert lines[0].split("\t")[:3] == ["sample_id", "field", "value"]
                assert len({line.count("\t") for line in lines}) == 1
                found = lines[1:]
            else:
                found = cursor.execute(ready).fetchall()
            if not found:
                empty.add(number)
        assert not empty & SHOWN


def quoted(value) -> str:
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"
