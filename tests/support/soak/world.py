"""Change an atlas all the time: samples are added, changed, labelled, broken and deleted."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import psycopg

from annotator.atlas.simulate import simulate_atlas
from tests.support.atlas import OPTIONS
from tests.support.faults.poison import POISONS

if TYPE_CHECKING:
    from collections.abc import Sequence

ARRIVALS = 3
BROKEN_SHARE = 0.06
DATASET_SIZE = 30
# Kinds of broken samples that the mirror's own tables accept.
SORTS = ("NaN", "infinite", "negative", "1e18", "all zero", "empty", "a feature twice")
REFUSALS = ("55000", "P0002", "22023")  # stale or decided; deleted; not in the vocabulary

_GOOD = """
select sample_id from atlas.expression e
where (select sum(c) from unnest(e.counts) as c) >= 10000 and e.nnz >= 100
order by sample_id
"""
_ARRIVE = """
with given as (
    select * from unnest(%(names)s::text[], %(datasets)s::text[], %(sources)s::text[])
        as g (name, dataset, source)
), d as (
    insert into atlas.dataset (dataset_id) select distinct dataset from given
    on conflict do nothing
), s as (
    insert into atlas.sample (sample_id, dataset_id) select name, dataset from given
)
insert into atlas.expression
select g.name, e.nnz, e.feature_ids, e.counts
from given g join atlas.expression e on e.sample_id = g.source
"""
_MEASURED_ANEW = """
update atlas.expression e
set nnz = source.nnz, feature_ids = source.feature_ids, counts = array(
    select (c * (1 + ((%(seed)s * 7 + o) %% 11) / 20.0))::real
    from unnest(source.counts) with ordinality as u (c, o) order by o)
from atlas.expression source
where e.sample_id = %(name)s and source.sample_id = %(source)s
"""
_TOUCHED = "update atlas.sample set updated_at = clock_timestamp() where sample_id = any (%s)"
_LABEL = """
insert into atlas.annotation (sample_id, field, value, numeric_value)
values (%s, %s, %s, %s)
on conflict (sample_id, field) do update
set value = excluded.value, numeric_value = excluded.numeric_value
"""
_UNLABEL = "delete from atlas.annotation where sample_id = %s and field = %s"
_MOVE = """
update atlas.sample s set dataset_id = other.dataset_id
from atlas.sample other where s.sample_id = %s and other.sample_id = %s
"""
_GONE = "delete from atlas.sample where sample_id = any (%s)"
_EMPTY = """
delete from atlas.dataset d
where d.dataset_id like 'NEW-%' and not exists (
    select from atlas.sample s where s.dataset_id = d.dataset_id)
"""


@dataclass
class _Living:
    """A sample that arrived."""

    born: float
    source: str
    broken: bool = False


class World:
    """Changes the mirror as the maintainers of an atlas would.

    Parameters
    ----------
    connection
        Connection of the owner, in autocommit mode.
    lifetime
        Seconds after which a sample that arrived is deleted.
    fields
        Fields that get labels.
    """

    def __init__(
        self, connection: psycopg.Connection, lifetime: float, fields: Sequence[str]
    ) -> None:
        self.done: Counter[str] = Counter()
        self._connection, self._lifetime, self._fields = connection, lifetime, fields
        self._random = np.random.default_rng(18)
        self._truth = simulate_atlas(OPTIONS).truth
        self._sources = [row[0] for row in connection.execute(_GOOD)]
        self._living: dict[str, _Living] = {}
        self._labelled: list[tuple[str, str]] = []
        self._number = 0

    def turn(self, now: float) -> None:
        """Make a few changes, as if ``now`` were the time."""
        with self._connection.transaction():
            self._arrive(now)
        with self._connection.transaction():
            self._change()
        with self._connection.transaction():
            self._label()
        with self._connection.transaction():
            self._go(now)

    def broken(self) -> list[str]:
        """Return the samples in the mirror that are broken."""
        return sorted(name for name, one in self._living.items() if one.broken)

    def _one(self) -> str:
        return str(self._random.choice(list(self._living)))

    def _arrive(self, now: float) -> None:
        names, datasets, sources = [], [], []
        for _ in range(ARRIVALS):
            self._number += 1
            names.append(f"N{self._number:06}")
            datasets.append(f"NEW-{self._number // DATASET_SIZE}")
            sources.append(str(self._random.choice(self._sources)))
        given = {"names": names, "datasets": datasets, "sources": sources}
        self._connection.execute(_ARRIVE, given)
        for name, source in zip(names, sources, strict=True):
            self._living[name] = _Living(now, source)
            self._measure(name)
            if self._random.random() < BROKEN_SHARE:
                self._break(name)
        self.done["arrived"] += ARRIVALS

    def _measure(self, name: str) -> None:
        seed = int(self._random.integers(1000))
        one = self._living[name]
        one.broken = False
        self._connection.execute(_MEASURED_ANEW, {"name": name, "source": one.source, "seed": seed})

    def _break(self, name: str) -> None:
        columns, _ = POISONS[str(self._random.choice(SORTS))]
        self._connection.execute(
            "update atlas.expression set (nnz, feature_ids, counts) ="  # type: ignore[arg-type]
            f" (select {columns}) where sample_id = %s",
            (name,),
        )
        self._living[name].broken = True
        self.done["broken"] += 1

    def _change(self) -> None:
        changed = {self._one(), self._one()}
        for name in changed:
            self._measure(name)  # also fixes a broken sample
        self._connection.execute(_TOUCHED, (sorted(changed),))
        self.done["changed"] += len(changed)
        if self._random.random() < 0.1:
            self._connection.execute(_MOVE, (self._one(), self._one()))
            self.done["moved"] += 1

    def _label(self) -> None:
        name, field = self._one(), str(self._random.choice(self._fields))
        value = self._truth[field][self._living[name].source]
        number = float(value) if field == "age" else None
        shown = str(value) if number is None else f"{number:.0f}"
        self._connection.execute(_LABEL, (name, field, shown, number))
        self._labelled.append((name, field))
        self.done["labelled"] += 1
        if self._random.random() < 0.1:
            place = int(self._random.integers(len(self._labelled)))
            self._connection.execute(_UNLABEL, self._labelled.pop(place))
            self.done["labels withdrawn"] += 1

    def _go(self, now: float) -> None:
        gone = [name for name, one in self._living.items() if one.born < now - self._lifetime]
        self._connection.execute(_GONE, (gone,))
        self._connection.execute(_EMPTY)
        for name in gone:
            del self._living[name]
        self._labelled = [one for one in self._labelled if one[0] in self._living]
        self.done["gone"] += len(gone)


# --- Curators -----------------------------------------------------------------------------------

_QUEUE = """
select prediction_id, dataset_id, field, status, one_click
from annotator.review_queue where prediction_id is not null limit 40
"""
_VALUES = "select value from annotator.vocabulary(%s) order by value"
_STANDING = "select review_id from annotator.review order by review_id desc limit 30"


class Curators:
    """Decide on rows of the queue, and undo some decisions, with only a curator's rights."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.done: Counter[str] = Counter()
        self.errors: list[str] = []
        self.waited = 0.0  # seconds that the last query of the queue took
        self._connection = connection
        self._random = np.random.default_rng(19)

    def turn(self) -> None:
        """Query the queue and decide on a few of its rows."""
        began = time.monotonic()
        queue = self._connection.execute(_QUEUE).fetchall()
        self.waited = time.monotonic() - began
        for place in self._random.permutation(len(queue))[:3]:
            prediction, dataset, field, status, one_click = queue[place]
            kind = self._random.choice(["accept", "accept", "reject", "correct", "dataset"])
            if kind == "reject":
                self._decide("rejected", "reject_suggestion(%s, 'soak')", prediction)
            elif kind == "dataset" and one_click:
                what = "accept_dataset(%s, %s, 0.9, 'soak')"
                self._decide("datasets accepted", what, dataset, field)
            elif kind == "correct" or status == "abstained":
                values = self._connection.execute(_VALUES, (field,)).fetchall()
                value = values[int(self._random.integers(len(values)))][0]
                self._decide("corrected", "correct_suggestion(%s, %s, 'soak')", prediction, value)
            else:
                self._decide("accepted", "accept_suggestion(%s, 'soak')", prediction)
        standing = self._connection.execute(_STANDING).fetchall()
        if standing and self._random.random() < 0.5:
            one = standing[int(self._random.integers(len(standing)))][0]
            self._decide("undone", "undo_review(%s, 'soak')", one)

    def _decide(self, what: str, call: str, *values: object) -> None:
        try:
            self._connection.execute(
                f"select * from annotator.{call}",  # type: ignore[arg-type]
                values,
            ).fetchall()
        except psycopg.Error as error:
            if error.sqlstate in REFUSALS:
                self.done["refused as stale"] += 1
            else:
                self.errors.append(f"{call}: {error}")
            return
        self.done[what] += 1
