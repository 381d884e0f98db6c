"""What counts as a label of the mirror: one view knows."""

from __future__ import annotations


def test_blanks_and_words_for_missing_are_no_labels(connection) -> None:
    connection.execute(
        "insert into atlas.dataset (dataset_id) values ('D');"
        "insert into atlas.sample (sample_id, dataset_id)"
        " select name, 'D' from unnest('{a,b,c,d,e,f,g,h}'::text[]) as name;"
        "insert into atlas.annotation (sample_id, field, value, numeric_value) values"
        " ('a', 'age', ' liver ', null), ('b', 'age', null, 61.5), ('c', 'age', '62', 62.25),"
        " ('d', 'age', 'NaN', 63), ('e', 'age', '  ', null), ('f', 'age', ' nan', 'NaN'),"
        " ('g', 'age', null, 'NaN'), ('h', 'age', '64', 'NaN')"
    )
    query = "select sample_id, value, numeric_value, source from annotator.known_label order by 1"
    assert connection.execute(query).fetchall() == [
        ("a", "liver", None, "curated"),
        ("b", "61.5", 61.5, "curated"),
        ("c", "62", 62.25, "curated"),
        ("d", "63", 63.0, "curated"),
        ("h", "64", None, "curated"),
    ]
