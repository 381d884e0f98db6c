"""Text that people seldom write and files may hold all the same."""

from __future__ import annotations

import re
import unicodedata

from hypothesis import strategies as st

HOSTILE = "a\x1b[31mb\nc\r\td\x9b2J\u202eliver\u2066\u2028e\x7f\u200f"
"""What a terminal obeys, what splits lines and what reverses text."""

ANY_TEXT = st.text(
    st.characters(exclude_categories=())
    | st.sampled_from("\x1b[2J\r\n\t\x7f\x85\x9b\u200b\u200c\u200d\u200e\u2028\u202e\u2066\ufeff\\")
)
STORED_TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))
"""Any text that PostgreSQL stores."""


def is_seen(text: str) -> bool:
    """Tell whether a line has neither control characters nor others that are not seen."""
    joined = re.sub("(?<=[^\x00-\x7f])[\u200c\u200d](?=[^\x00-\x7f])", "", text)
    unseen = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    return not any(unicodedata.category(letter) in unseen for letter in joined)
