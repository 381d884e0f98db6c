"""Expression through a real PostgreSQL, from our own tables and from foreign views."""

from __future__ import annotations

import hashlib

import numpy as np
import psycopg
import pytest
from scipy.sparse import csr_matrix, random_array

from annotator.errors import InputError, SchemaError
from annotator.store.mirror.expression import read_profiles, write_expression
from annotator.store.mirror.features import read_features

NAMES = ["let-7a", "miR-1", "virus", "miR-21", "bacterium"]
KINDS = ["srna", "srna", "contaminant", "srna", "contaminant"]
IDS = [10, 7, 3, 1, 99]
BY_NAME = sorted(range(5), key=NAMES.__getitem__)


@pytest.fixture
def atlas(connection: psycopg.Connection) -> psycopg.Connection:
    """Five features whose ids are in no order, six samples without expression."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into atlas.feature (feature_id, name, kind) values (%s, %s, %s)",
            list(zip(IDS, NAMES, KINDS, strict=True)),
        )
    connection.execute("insert into atlas.dataset (dataset_id) values ('D')")
    connection.execute(
        "insert into atlas.sample (sample_id, dataset_id)"
        " select unnest(array['s1', 's2', 's3', 's4', 's5', 's6']), 'D'"
    )
    connection.commit()
    return connection


def write(conn: psycopg.Connection, rows: dict[str, list[float]]) -> None:
    counts = csr_matrix(np.array(list(rows.values()), dtype=np.float32))
    write_expression(conn, list(rows), np.array(IDS, dtype=np.int32), counts)


def foreign(conn: psycopg.Connection, rows: dict[str, str], types: str = "int4[] float4[]") -> None:
    """Put a view in the place of atlas.expression; a row is "nnz, feature_ids, counts" in SQL."""
    conn.execute("drop view atlas.expression_long")
    conn.execute("drop function atlas.feature_expression(text)")
    conn.execute("drop table atlas.expression")
    ids, counts = types.split()
    body = " union all ".join(
        f"select '{name.rstrip('+')}'::text, n, f::{ids}, c::{counts}"
        f" from (values ({row})) as v (n, f, c)"
        for name, row in rows.items()
    )
    conn.execute(f"create view atlas.expression (sample_id, nnz, feature_ids, counts) as {body}")


def test_what_is_written_is_read(atlas: psycopg.Connection) -> None:
    write(atlas, {"s2": [1, 2, 3, 4, 5], "s1": [0, 0, 0, 7, 8], "s5": [0, 1e9, 0, 0, 0.5]})
    read = read_profiles(atlas)
    profiles = read.profiles
    assert profiles.sample_ids.tolist() == ["s1", "s2", "s5"]
    assert profiles.features.tolist() == sorted(NAMES)
    assert profiles.kinds.tolist() == [KINDS[i] for i in BY_NAME]
    assert profiles.counts.dtype == np.float32
    expected = np.array([[0, 0, 0, 7, 8], [1, 2, 3, 4, 5], [0, 1e9, 0, 0, 0.5]])[:, BY_NAME]
    np.testing.assert_array_equal(profiles.counts.toarray(), expected)
    fresh = csr_matrix((profiles.counts.data, profiles.counts.indices, profiles.counts.indptr))
    assert fresh.has_canonical_format
    assert profiles.counts.nnz == np.count_nonzero(expected)
    assert {name: error.code for name, error in read.rejected.items()} == dict.fromkeys(
        ("s3", "s4", "s6"), "no_counts"
    )


def test_rows_are_stored_ascending_without_zeros(atlas: psycopg.Connection) -> None:
    write(atlas, {"s1": [5, 0, 3, 1, 9]})
    stored = atlas.execute("select nnz, feature_ids, counts from atlas.expression").fetchall()
    assert stored == [(4, [1, 3, 10, 99], [1.0, 3.0, 5.0, 9.0])]


def test_order_and_kinds_are_those_asked_for(atlas: psycopg.Connection) -> None:
    write(atlas, {"s1": [1, 0, 2, 0, 0], "s2": [0, 0, 4, 0, 0], "s3": [5, 6, 0, 0, 0]})
    read = read_profiles(atlas, ["s3", "gone", "s2", "s1"], ["srna"])
    assert read.profiles.sample_ids.tolist() == ["s3", "s1"]
    assert read.profiles.features.tolist() == ["let-7a", "miR-1", "miR-21"]
    np.testing.assert_array_equal(read.profiles.counts.toarray(), [[5, 6, 0], [1, 0, 0]])
    assert {name: error.code for name, error in read.rejected.items()} == {
        "gone": "no_counts",
        "s2": "no_counts",
    }
    assert read_profiles(atlas, []).profiles.counts.shape == (0, 5)


def test_a_second_write_replaces(atlas: psycopg.Connection) -> None:
    write(atlas, {"s1": [1, 2, 3, 4, 5], "s2": [1, 1, 1, 1, 1]})
    write(atlas, {"s1": [0, 0, 0, 0, 9]})
    read = read_profiles(atlas, ["s1", "s2"])
    np.testing.assert_array_equal(
        read.profiles.counts.toarray()[:, np.argsort(BY_NAME)], [[0, 0, 0, 0, 9], [1] * 5]
    )


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1.0, 1.1e9])
def test_impossible_counts_are_not_written(atlas: psycopg.Connection, wrong: float) -> None:
    with pytest.raises(InputError, match="'s2'"):
        write(atlas, {"s1": [1, 0, 0, 0, 0], "s2": [1, 0, wrong, 0, 0]})


def test_the_hash_follows_names_and_counts_only(atlas: psycopg.Connection) -> None:
    write(atlas, {"s1": [1, 0, 2, 0, 0], "s2": [1, 0, 3, 0, 0], "s3": [1, 0, 2, 0, 0]})
    before = read_profiles(atlas, ["s1", "s2", "s3"]).hashes
    assert before[0] == before[2] != before[1]
    digests = [hashlib.sha256(name.encode()).digest()[:8] for name in ("let-7a", "virus")]
    content = b"".join(digests) + np.array([1, 2], dtype="<f4").tobytes()
    assert before[0] == hashlib.sha256(content).hexdigest()
    assert read_profiles(atlas, ["s1"], ["srna"]).hashes[0] == before[0]
    # Other ids, and one feature more that nobody expresses: the same samples.
    atlas.execute("update atlas.feature set feature_id = 1000 - feature_id")
    atlas.execute("insert into atlas.feature (feature_id, name, kind) values (5, 'a', 'srna')")
    atlas.execute("truncate atlas.expression")
    rows = csr_matrix(np.array([[1, 2]], dtype=np.float32))
    write_expression(atlas, ["s1"], np.array([990, 997]), rows)
    assert read_profiles(atlas, ["s1"]).hashes[0] == before[0]


BAD_ROWS = {
    "two lengths": ("3, '{1,3,7}', '{1,2}'", "mismatched_arrays"),
    "nnz too high": ("3, '{1,3}', '{1,2}'", "mismatched_arrays"),
    "nnz too low": ("1, '{1,3}', '{1,2}'", "mismatched_arrays"),
    "nnz is null": ("null::int, '{1,3}', '{1,2}'", "mismatched_arrays"),
    "no ids": ("1, null, '{1}'", "mismatched_arrays"),
    "no counts": ("1, '{1}', null", "mismatched_arrays"),
    "empty ids": ("2, '{}', '{1,2}'", "mismatched_arrays"),
    "nothing": ("null::int, null, null", "no_counts"),
    "null arrays": ("0, null, null", "no_counts"),
    "empty": ("0, '{}', '{}'", "no_counts"),
    "zeros": ("2, '{1,3}', '{0,0}'", "no_counts"),
    "null count": ("2, '{1,3}', '{1,null}'", "non_finite_counts"),
    "nan": ("2, '{1,3}', '{1,NaN}'", "non_finite_counts"),
    "only nan": ("1, '{1}', '{NaN}'", "non_finite_counts"),
    "infinite": ("2, '{1,3}', '{1,Infinity}'", "non_finite_counts"),
    "minus infinite": ("2, '{1,3}', '{1,-Infinity}'", "non_finite_counts"),
    "negative": ("2, '{1,3}', '{1,-0.5}'", "negative_counts"),
    "absurd": ("2, '{1,3}', '{1,2e9}'", "absurd_counts"),
    "null id": ("2, '{1,null}', '{1,2}'", "unknown_features"),
    "unknown id": ("2, '{1,2}', '{1,2}'", "unknown_features"),
    "negative id": ("2, '{1,-1}', '{1,2}'", "unknown_features"),
    "large id": ("2, '{1,2147483647}', '{1,2}'", "unknown_features"),
    "twice": ("3, '{1,3,1}', '{1,2,3}'", "duplicate_features"),
    "twice with zeros": ("3, '{1,3,1}', '{0,2,0}'", "duplicate_features"),
    "more than there are": ("6, '{1,3,7,10,99,1}', '{1,1,1,1,1,1}'", "too_many_features"),
    "endless ids": ("1, array_fill(1, '{3000000}'), '{1}'", "too_many_features"),
    "endless counts": ("1, '{1}', array_fill(1, '{3000000}')", "too_many_features"),
}
WIDE_ROWS = {
    "overflowing id": ("2, '{1,9223372036854775807}', '{1,2}'", "unknown_features"),
    "lowest id": ("2, '{1,-9223372036854775808}', '{1,2}'", "unknown_features"),
    "overflowing count": ("2, '{1,3}', '{1,1e300}'", "absurd_counts"),
}


@pytest.mark.parametrize("types", ["int4[] float4[]", "int8[] float8[]", "numeric[] numeric[]"])
def test_each_bad_row_of_a_view_is_named_and_the_rest_come_through(
    atlas: psycopg.Connection, types: str
) -> None:
    rows = BAD_ROWS if types.startswith("int4") else BAD_ROWS | WIDE_ROWS
    good = {"a first": "2, '{10,1}', '{4,0.25}'", "zz last": "3, '{99,1,7}', '{1,0,2}'"}
    foreign(atlas, good | {name: row for name, (row, _) in rows.items()}, types)
    wanted = ["zz last", *rows, "never heard of", "a first"]
    read = read_profiles(atlas, wanted)
    assert read.profiles.sample_ids.tolist() == ["zz last", "a first"]
    np.testing.assert_array_equal(
        read.profiles.counts.toarray()[:, np.argsort(BY_NAME)],
        [[0, 2, 0, 0, 1], [4, 0, 0, 0.25, 0]],
    )
    expected = {name: code for name, (_, code) in rows.items()} | {"never heard of": "no_counts"}
    assert {name: error.code for name, error in read.rejected.items()} == expected
    assert all("\n" not in error.reason for error in read.rejected.values())


def test_a_sample_with_two_rows_is_rejected_once(atlas: psycopg.Connection) -> None:
    row = "1, '{1}', '{5}'"
    foreign(atlas, {"s1": row, "s2": row, "s2+": "0, null, null", "s2++": row, "s3": row})
    read = read_profiles(atlas)
    assert read.profiles.sample_ids.tolist() == ["s1", "s3"]
    assert read.profiles.counts.sum() == 10
    assert read.rejected["s2"].code == "duplicate_features"


def test_nnz_that_promises_nonsense_costs_nothing(atlas: psycopg.Connection) -> None:
    good = "4, '{1,3,7,10}', '{1,2,3,4}'"
    lies = {"s1": "-9, '{1}', '{1}'", "s3": "2147483647, null, '{1}'"}
    foreign(atlas, lies | {"s2": good})
    read = read_profiles(atlas, ["s1", "s2", "s3"])
    assert read.profiles.sample_ids.tolist() == ["s2"]
    assert {error.code for error in read.rejected.values()} == {"mismatched_arrays"}


def test_room_is_made_when_there_is_more_than_was_promised(atlas: psycopg.Connection) -> None:
    write(atlas, {"s1": [1, 2, 3, 4, 5], "s2": [0, 0, 0, 0, 9]})
    wanted = ["s1", "s2"] * 5  # nnz is summed once a sample
    counts = read_profiles(atlas, wanted).profiles.counts
    rows = [[1, 2, 3, 4, 5], [0, 0, 0, 0, 9]]
    np.testing.assert_array_equal(counts.toarray()[:, np.argsort(BY_NAME)], rows * 5)


def test_a_view_of_the_wrong_types_is_an_error_for_a_person(atlas: psycopg.Connection) -> None:
    wrong = {"jsonb float4[]": "1, '[1]', '{1}'", "int4[] float4[]": "now(), '{1}', '{1}'"}
    for types, row in wrong.items():
        with atlas.transaction(force_rollback=True):
            foreign(atlas, {"s1": row}, types)
            with pytest.raises(SchemaError, match=r"atlas\.expression cannot be read.*integers"):
                read_profiles(atlas)


RAISES = """
create table public.reads as
select sample_id, 1 as nnz, array[10] as ids, '5' as count from atlas.sample;
update public.reads set count = 'five' where sample_id = 's2';
update public.reads set nnz = 0 where sample_id in ('s4', 's6');
drop view atlas.expression_long;
drop function atlas.feature_expression(text);
drop table atlas.expression;
create view atlas.expression as
select sample_id, 1 / nnz as nnz, ids as feature_ids, array[count::real] as counts
from public.reads
"""


@pytest.mark.parametrize("wanted", [None, [f"s{number}" for number in range(1, 7)], ["s4"]])
def test_samples_whose_rows_raise_errors_are_named_and_the_rest_come_through(
    atlas: psycopg.Connection, wanted: list[str] | None
) -> None:
    atlas.execute(RAISES)
    read = read_profiles(atlas, wanted)
    bad = {"s4"} if wanted == ["s4"] else {"s2", "s4", "s6"}
    assert read.profiles.sample_ids.tolist() == ([] if len(bad) == 1 else ["s1", "s3", "s5"])
    assert read.profiles.counts.sum() == 5 * len(read.profiles.sample_ids)
    assert {name: error.code for name, error in read.rejected.items()} == dict.fromkeys(
        bad, "unreadable"
    )
    assert "division by zero" in read.rejected["s4"].reason


def test_a_row_that_takes_too_long_is_named(atlas: psycopg.Connection) -> None:
    atlas.execute(RAISES)
    atlas.execute(
        "create or replace view atlas.expression as select sample_id,"
        " case when sample_id = 's2' then length(pg_sleep(60)::text) else 1 end as nnz,"
        " ids as feature_ids, array[5::real] as counts from public.reads"
    )
    atlas.execute("set local statement_timeout = '1500ms'")
    assert read_profiles(atlas, ["s2"]).rejected["s2"].code == "unreadable"


def test_a_view_that_always_raises_an_error_is_one_for_a_person(atlas: psycopg.Connection) -> None:
    atlas.execute(RAISES)
    atlas.execute(
        "create or replace view atlas.expression as"
        " with all_of_it as materialized (select sample_id, 1 / nnz as nnz, ids from public.reads)"
        " select sample_id, nnz, ids as feature_ids, array[1::real] as counts from all_of_it"
    )
    with pytest.raises(SchemaError, match=r"atlas\.expression cannot be read: division by zero"):
        read_profiles(atlas, ["s1", "s2"])


def test_features_of_a_view_must_be_unique_and_of_a_known_kind(atlas: psycopg.Connection) -> None:
    foreign(atlas, {"s1": "1, '{1}', '{1}'"})
    atlas.execute("drop table atlas.feature")
    for rows, message in (
        ("(1, 'a', 'srna'), (1, 'b', 'srna')", "feature_id 1 occurs twice"),
        ("(1, 'a', 'srna'), (2, 'a', 'srna')", "name 'a' occurs twice"),
        ("(1, 'a', 'gene')", "kind 'gene'"),
        ("(1, null::text, 'srna')", "name None"),
    ):
        atlas.execute(
            "create or replace view atlas.feature (feature_id, name, kind) as values " + rows
        )
        with pytest.raises(SchemaError, match=message):
            read_features(atlas)


def test_the_table_of_features_is_made_anew_only_where_they_changed(
    atlas: psycopg.Connection,
) -> None:
    table = read_features(atlas)
    assert read_features(atlas) is table
    atlas.execute("update atlas.feature set name = 'miR-2' where name = 'miR-1'")
    changed = read_features(atlas)
    assert changed.names.tolist() == sorted({*NAMES, "miR-2"} - {"miR-1"})


def test_huge_feature_ids_of_a_view_are_found(atlas: psycopg.Connection) -> None:
    foreign(
        atlas, {"s1": "2, '{9000000000000,-5}', '{1,2}'", "s2": "1, '{6}', '{1}'"}, "int8[] int4[]"
    )
    atlas.execute("drop table atlas.feature")
    atlas.execute(
        "create view atlas.feature (feature_id, name, kind) as"
        " values (9000000000000, 'b', 'srna'), (-5, 'c', 'srna'), (7, 'a', 'srna')"
    )
    read = read_profiles(atlas, ["s1", "s2"])
    np.testing.assert_array_equal(read.profiles.counts.toarray(), [[0, 1, 2]])
    assert read.rejected["s2"].code == "unknown_features"


def test_the_daemon_may_read(atlas: psycopg.Connection) -> None:
    write(atlas, {"s1": [1, 0, 2, 0, 0]})
    atlas.execute("set role annotator_daemon")
    assert read_profiles(atlas, ["s1"]).profiles.counts.nnz == 2


def test_random_matrices_survive(connection: psycopg.Connection) -> None:
    generator = np.random.default_rng(5)
    connection.execute("insert into atlas.dataset (dataset_id) values ('D')")
    connection.execute(
        "insert into atlas.sample (sample_id, dataset_id)"
        " select 'sample ' || i, 'D' from generate_series(0, 39) i"
    )
    connection.execute(
        "insert into atlas.feature (name, kind)"
        " select 'f' || (i * 11 % 301), 'srna' from generate_series(1, 301) i"
    )
    table = read_features(connection)
    counts = csr_matrix(random_array((40, 301), density=0.3, rng=generator, dtype=np.float32))
    counts.data = np.ceil(counts.data * 1000)
    names = [f"sample {i}" for i in range(40)]
    write_expression(connection, names, table.ids, counts)
    order = generator.permutation(40)
    read = read_profiles(connection, [names[i] for i in order])
    np.testing.assert_array_equal(read.profiles.counts.toarray(), counts.toarray()[order])


def test_a_condition_on_samples_reaches_below_a_foreign_group_by(
    connection: psycopg.Connection,
) -> None:
    for statement in (
        "drop view atlas.expression_long",
        "drop function atlas.feature_expression(text)",
        "drop table atlas.expression",
        "create table public.reads (sample text, feature int, count real)",
        "insert into public.reads select 's' || s, f, 1 from generate_series(1, 2000) s,"
        " generate_series(1, 3) f",
        "create index on public.reads (sample)",
        "insert into atlas.feature (name, kind)"
        " select 'f' || i, 'srna' from generate_series(1, 3) i",
        "create view atlas.expression as select sample as sample_id, count(*)::int as nnz,"
        " array_agg(feature) as feature_ids, array_agg(count) as counts"
        " from public.reads group by sample",
        "analyze public.reads",
    ):
        connection.execute(statement)
    connection.commit()
    read = read_profiles(connection, ["s7", "s1999"])
    np.testing.assert_array_equal(read.profiles.counts.toarray(), np.ones((2, 3)))
    connection.commit()
    connection.execute("select pg_stat_force_next_flush()")
    connection.commit()
    scans = connection.execute(
        "select seq_tup_read from pg_stat_user_tables where relname = 'reads'"
    ).fetchone()
    # Building the index read the table once; our two statements must not have read it again.
    assert scans is not None
    assert scans[0] <= 6000
