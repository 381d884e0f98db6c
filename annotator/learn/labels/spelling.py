"""One spelling per class, however labels are written.

Labels that mean a term of the imported ontology get the name of that term. Other labels that
differ only in letter case, spaces, underscores and hyphens get their commonest spelling.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.terms import label_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from annotator.learn.labels.ontology import Ontology


def spellings(labels: Iterable[str], ontology: Ontology) -> Mapping[str, str]:
    """Return the spelling of the class of each label.

    Parameters
    ----------
    labels
        One label per sample; ``""`` for none.
    ontology
        The ontology.

    Returns
    -------
    Mapping of str to str
        Each label to its spelling. It depends on the number of samples per label, not on their
        order; of equally common spellings the first in alphabetical order is taken.

    Examples
    --------
    >>> from annotator.learn.labels.ontology import Ontology
    >>> spellings(["Skin", "skin", "skin", "elbow_"], Ontology())
    {'Skin': 'skin', 'skin': 'skin', 'elbow_': 'elbow_'}
    """
    samples = Counter(labels)
    terms = {label: ontology.term_of(label) if label else "" for label in samples}
    alike: dict[str, list[str]] = defaultdict(list)
    for label, term in terms.items():
        if term is None:
            alike[label_key(label)].append(label)
    commonest = {
        key: min(written, key=lambda label: (-samples[label], label))
        for key, written in alike.items()
    }
    return {
        label: commonest[label_key(label)] if term is None else term
        for label, term in terms.items()
    }


def spelled_alike(labels: NDArray[np.object_], ontology: Ontology) -> NDArray[np.object_]:
    """Return every label in the spelling of its class, shape ``(samples,)``, dtype object."""
    given = [str(label) for label in labels.tolist()]
    spelling = spellings(given, ontology)
    return np.array([spelling[label] for label in given], dtype=object)
