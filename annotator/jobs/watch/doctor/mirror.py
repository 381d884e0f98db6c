"""Check that the mirror has the expected relations and content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.domain.values.lengths import LONGEST_NAME
from annotator.errors import SchemaError
from annotator.jobs.watch.doctor.findings import Finding, good, warning, wrong
from annotator.store.server.health import has_mirror, mirror_facts
from annotator.store.server.mirror_columns import check_mirror
from annotator.store.server.schema import current_revision

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

SUBJECT = "mirror"


def check_relations(connection: psycopg.Connection) -> Iterator[Finding]:
    """Check the relations of schema ``atlas``, their columns and their content.

    In a database that was never migrated they may all be missing: migrating creates them.
    """
    if not has_mirror(connection) and current_revision(connection) is None:
        return
    try:
        check_mirror(connection)
    except SchemaError as error:
        yield wrong(
            SUBJECT,
            str(error),
            "change schema atlas as docs/guides/join-an-atlas.md describes, then run"
            " `annotator migrate`",
        )
        return
    facts = mirror_facts(connection)
    if facts.repeated:
        yield wrong(
            SUBJECT,
            f"atlas.sample has {facts.repeated} rows more than samples",
            "make the view return each sample_id once; until then these samples are quarantined"
            " with repeated_sample",
        )
    if facts.without_id:
        yield wrong(
            SUBJECT,
            f"{facts.without_id} rows of atlas.sample have no sample_id of at most"
            f" {LONGEST_NAME:,} bytes and are left out",
            "make the view return an id for each sample, or leave these rows out",
        )
    if facts.without_dataset:
        yield warning(
            SUBJECT,
            f"{facts.without_dataset} samples have no dataset_id of at most {LONGEST_NAME:,} bytes",
            "make the view return their dataset; until then they are quarantined with no_dataset",
        )
    if facts.contradicting:
        yield warning(
            SUBJECT,
            f"{facts.contradicting} labels contradict another one of the same sample and field",
            "make atlas.annotation return one value; until then they are not learned from",
        )
    if facts.strange_kinds:
        yield wrong(
            SUBJECT,
            f"atlas.feature has features of kind {', '.join(facts.strange_kinds)}",
            "set kind to srna or contaminant, and leave out other features",
        )
    if facts.timeless:
        yield warning(
            SUBJECT,
            f"{facts.timeless} samples have no updated_at: changes to them will go unnoticed",
            "make the view return a time that advances when a sample's expression changes",
        )
    if facts.unmeasured:
        yield warning(
            SUBJECT,
            f"{facts.unmeasured} of {facts.samples} samples have no row in atlas.expression",
            "import their counts; until then they are quarantined with no_counts",
        )
    if facts.samples == 0:
        yield warning(SUBJECT, "the mirror is empty", "run `annotator import COUNTS SAMPLES`")
        return
    yield good(SUBJECT, f"all relations and columns are there; {facts.samples} samples")
