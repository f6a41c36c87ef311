"""A session's records, one after the other → its fold and its rows; or why there are none."""

from dataclasses import dataclass

from offhook.events import Record
from offhook.projections.views.fold import Folded, advanced
from offhook.projections.views.registry import Rows, rows_of
from offhook.projections.views.stored.event_log import StoredRecord
from offhook.projections.views.view import storable
from offhook.session import Session

ERROR_CHARS_MAX = 2_000


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A session that cannot be folded. `since_seq` is the record at which that was seen."""

    session_id: str
    since_seq: int
    error: str


class Fold:
    """The fold of one session; after the first failure it takes in nothing more."""

    def __init__(self, session_id: str, folded: Folded | None = None) -> None:
        """`folded` is what is in the views already."""
        self.folded = folded or Folded(session=Session(session_id=session_id))
        self.failure: Failure | None = None
        self._written_seq = self.folded.last_seq

    def add(self, stored: StoredRecord) -> None:
        """Take in the next record."""
        if stored.record is not None:
            self.advance(stored.record)
        elif self.failure is None:
            self.fail(stored.seq, stored.error)

    def advance(self, record: Record) -> None:
        """Take in the next record."""
        if self.failure is not None:
            return
        try:
            self.folded = advanced(self.folded, record)
        except Exception as error:
            self.fail(record.seq, error)

    def rows(self) -> Rows | None:
        """The rows that are not in the views yet; None if it failed."""
        if self.failure is not None:
            return None
        try:
            return rows_of(self.folded, self._written_seq)
        except Exception as error:
            self.fail(self.folded.last_seq, error)
            return None

    def fail(self, since_seq: int, error: Exception | str) -> None:
        """Note the failure."""
        reason = str(storable(error if isinstance(error, str) else repr(error)))
        self.failure = Failure(
            session_id=self.folded.session.session_id,
            since_seq=since_seq,
            error=reason[:ERROR_CHARS_MAX],
        )
