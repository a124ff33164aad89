"""What a feature adds to a margin, in sentences for the owner of a site.

Law: a sentence says what csrc/features/features.def says of the row, turned round where the visitor does not do it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sidecar import core
from sidecar.sources.shown import text

TOP = 3  # parts shown for a bot, and against
_LONGEST = 60  # characters of a word


def sentence(part: core.Contribution) -> str:
    """What the visitor does, as a clause without its subject: "sends Accept", "the word `curl` of the User-Agent"."""
    _, is_word, word = part.name.partition("=")
    if is_word:
        return _of_word(part.doc, word)
    if part.value is not None and counts(part.doc):
        return f"{part.doc.rpartition(', at most ')[0]}: {part.value:g}"
    return _turned(part.doc) if part.value == 0 else part.doc


def name(part: core.Contribution) -> str:
    """The feature or the family; the sentence has the word."""
    return part.name.partition("=")[0]


def counts(doc: str) -> bool:
    """Is it the text of a row that counts, not of one that is 0 or 1?"""
    return ", at most " in doc


def strongest(parts: Sequence[core.Contribution], most: int = TOP) -> list[core.Contribution]:
    """At most `most` that speak for a bot, the strongest first, then as many that speak against one."""
    found = sorted(parts, key=lambda part: -abs(part.contribution))
    return [
        *[part for part in found if part.contribution > 0][:most],
        *[part for part in found if part.contribution < 0][:most],
    ]


def _of_word(doc: str, word: str) -> str:
    """ "a word of the path, bare numbers left out" with `php` in it."""
    what = doc.partition(",")[0].partition(":")[0]
    noun, of, rest = (f"the {what[2:]}" if what.startswith("a ") else what).partition(" of ")
    shown = text(word)
    return f"{noun} `{shown if len(shown) <= _LONGEST else shown[:_LONGEST] + '…'}`{of}{rest}"


def _turned(doc: str) -> str:
    """The opposite of a clause. One with a second half is denied as a whole."""
    verb, _, rest = doc.partition(" ")
    if ", " in doc:
        return f"not so: {doc}"
    if rest.startswith("no "):
        return f"{verb} a {rest[3:]}"
    return f"does not {'have' if verb == 'has' else verb.removesuffix('s')} {rest}"
