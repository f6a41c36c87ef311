"""Call Control Applications: the resource that a call's `connection_id` names.

An application says where webhooks go, in which form, the timeout of their receiver, and whether
calls send call.cost. One exists from the start, with the id DEFAULT_ID, the configured address and
form "2"; `connections` are the ids of more like it. A created one has the carrier's defaults, of
which form "1" is one. Fields about media, channels and the first command are kept and returned, and
have no effect.

Fields, defaults and bounds are in `offhook.telnyx.applications`. Where the documents are silent: an
update changes only the fields it has, and an unknown field is refused.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from offhook.errors import ParameterInvalid
from offhook.simulator.errors import call_errors, parameter_errors, request_errors
from offhook.simulator.journal import Journal
from offhook.simulator.random_ids import RandomIds
from offhook.simulator.timestamps import iso_milliseconds
from offhook.telnyx.applications import (
    Body,
    ChangedApplication,
    NewApplication,
    application_from,
)

DEFAULT_ID = "2811212257810187800"
APPLICATIONS_MAX = 10_000
SEARCHED_LENGTH_MIN = 3


class CallControlApplication(NewApplication, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An application as the carrier keeps and returns it."""

    id: str
    record_type: str = "call_control_application"
    created_at: str
    updated_at: str
    tags: tuple[str, ...] = ()


class Applications:
    """All applications, at most APPLICATIONS_MAX.

    With a `journal` the created ones survive the process; the others come from settings.
    """

    def __init__(
        self,
        *,
        webhook_url: str,
        clock: Callable[[], datetime],
        ids: RandomIds,
        connections: Collection[str] = (),
        journal: Journal | None = None,
    ) -> None:
        self._clock = clock
        self._ids = ids
        now = iso_milliseconds(clock())
        self.default = CallControlApplication(
            id=DEFAULT_ID,
            application_name="offhook",
            webhook_event_url=webhook_url,
            webhook_api_version="2",
            created_at=now,
            updated_at=now,
        )
        self._applications = {DEFAULT_ID: self.default} | {
            each: msgspec.structs.replace(self.default, id=each, application_name=f"offhook {each}")
            for each in connections
        }
        self._journal = journal
        self._configured = frozenset(self._applications)
        if journal is not None:
            created = journal.read("applications", CallControlApplication)
            self._applications |= {
                one.id: one for one in created if one.id not in self._applications
            }

    def get(self, application_id: str) -> CallControlApplication:
        """One application. Raises CarrierError (10005)."""
        found = self._applications.get(application_id)
        if found is None:
            raise request_errors.not_found()
        return found

    def of_call(self, connection_id: str) -> CallControlApplication:
        """The application of a call; the default one if its own was deleted."""
        return self._applications.get(connection_id, self.default)

    def takes_calls(self, connection_id: str) -> bool:
        """Whether there is an active application with this id."""
        application = self._applications.get(connection_id)
        return application is not None and application.active

    def create(self, body: Mapping[str, Any]) -> CallControlApplication:
        """A new application. Raises CarrierError (422)."""
        if len(self._applications) >= APPLICATIONS_MAX:
            raise call_errors.not_possible(
                f"The simulator keeps at most {APPLICATIONS_MAX} applications."
            )
        request = _read(body, NewApplication)
        now = iso_milliseconds(self._clock())
        return self._keep(
            CallControlApplication(
                **msgspec.structs.asdict(request),
                id=self._ids.application_id(),
                created_at=now,
                updated_at=now,
            )
        )

    def update(self, application_id: str, body: Mapping[str, Any]) -> CallControlApplication:
        """The changed application. Raises CarrierError (10005, 422)."""
        before = self.get(application_id)
        request = _read(body, ChangedApplication)
        changed = {name: getattr(request, name) for name in body}
        for part in ("inbound", "outbound"):
            if part in body:
                given = {name: getattr(changed[part], name) for name in body[part]}
                changed[part] = msgspec.structs.replace(getattr(before, part), **given)
        now = iso_milliseconds(self._clock())
        return self._keep(msgspec.structs.replace(before, **changed, updated_at=now))

    def delete(self, application_id: str) -> CallControlApplication:
        """The application as it was; new calls of it are refused. Raises CarrierError (10005)."""
        gone = self.get(application_id)
        del self._applications[application_id]
        if self._journal is not None:
            self._journal.forget("applications", application_id)
        return gone

    def search(self, query: Mapping[str, str]) -> Sequence[CallControlApplication]:
        """Filtered and sorted as the query asks, by default newest first. Raises CarrierError.

        The documents list filters of other resources too; they have no effect.
        """
        searched = query.get("filter[application_name][contains]")
        if searched is not None and len(searched) < SEARCHED_LENGTH_MIN:
            raise request_errors.search_too_short("filter[application_name][contains]")
        profile = query.get("filter[outbound.outbound_voice_profile_id]")
        found = [
            one
            for one in self._applications.values()
            if (searched is None or searched.lower() in one.application_name.lower())
            and profile in (None, one.outbound.outbound_voice_profile_id)
        ]
        sort = query.get("sort", "-created_at")
        if (key := _SORTS.get(sort.removeprefix("-"))) is None:
            raise request_errors.sort_unknown(sort, list(_SORTS))
        # The order of creation breaks ties.
        ordered = sorted(enumerate(found), key=lambda one: (key(one[1]), one[0]))
        return [one for _, one in (reversed(ordered) if sort.startswith("-") else ordered)]

    def _keep(self, application: CallControlApplication) -> CallControlApplication:
        self._applications[application.id] = application
        if application.id == DEFAULT_ID:
            self.default = application
        if self._journal is not None and application.id not in self._configured:
            self._journal.keep("applications", application.id, application)
        return application


_SORTS: dict[str, Callable[[CallControlApplication], Any]] = {
    "created_at": lambda one: one.created_at,
    "connection_name": lambda one: one.application_name,
    "active": lambda one: one.active,
}


def _read(body: Mapping[str, Any], kind: type[Body]) -> Body:
    try:
        return application_from(body, kind)
    except ParameterInvalid as error:
        raise parameter_errors.parameter_invalid(error) from None
