"""Sessions with a text that is too long for an index: the same rows would be refused again.

    refused ─▶ held: folded on in memory ─▶ its long texts change: written again

What is held is of use only while `parked_sessions` has the session, and is forgotten with all else
of its partition; then it is read and written again, as any parked session.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from offhook.projections.projector.writing import Done
from offhook.projections.views.fold import Folded
from offhook.projections.views.registry import LongTexts, long_texts

REFUSED_MAX = 1_000
"""Sessions that are held. Those beyond are read and tried with each of their records."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """`folded` has all that changed since the session's first record: nothing is in the views."""

    folded: Folded
    texts: LongTexts


def refused_among(done: Sequence[Done], errors: Mapping[str, Exception]) -> dict[str, Refused]:
    """Of the sessions that were not written, by id: those for such a text."""
    return {
        session_id: Refused(folded=folded, texts=texts)
        for folded, rows in done
        if isinstance(
            errors.get(session_id := folded.session.session_id), asyncpg.ProgramLimitExceededError
        )
        and (texts := long_texts(rows))
    }
