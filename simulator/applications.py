"""Call Control Applications: the resource that a call's `connection_id` names.

An application says where webhooks go, in which form, how long their receiver has, and whether calls
tell their cost. One exists from the start: its id is DEFAULT_ID, its address is the configured
one, and its form is "2". A created one has the carrier's defaults, of which form "1" is one. Fields
about media, channels and the first command are kept and answered, and change nothing. `connections`
are the ids of more that exist from the start, each like the default one.

Fields, defaults and bounds are in `offhook.telnyx.applications`. Where the documents are silent: an
update changes what it names and nothing else, and an unknown field is refused.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from random import Random
from typing import Any

import msgspec

from offhook.errors import ParameterInvalid
from offhook.simulator.call.answers import milliseconds
from offhook.simulator.errors import call_errors, parameter_errors, request_errors
from offhook.simulator.journal import Journal
from offhook.telnyx.applications import (
    Body,
    ChangedApplication,
    NewApplication,
    application_from,
)

DEFAULT_ID = "2811212257810187800"
APPLICATIONS_MAX = 10_000
SEARCHED_LENGTH_MIN = 3


class Application(NewApplication, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An application as the carrier keeps and answers it."""

    id: str
    record_type: str = "call_control_application"
    created_at: str
    updated_at: str
    tags: tuple[str, ...] = ()


class Applications:
    """All of them; bounded in number. Ids come from `identities`.

    The created ones outlive the process with a `journal`; the others are made from settings.
    """

    def __init__(
        self,
        *,
        webhook_url: str,
        clock: Callable[[], datetime],
        identities: Random,
        connections: Collection[str] = (),
        journal: Journal | None = None,
        applications_max: int = APPLICATIONS_MAX,
    ) -> None:
        self._clock = clock
        self._identities = identities
        self._applications_max = applications_max
        now = milliseconds(clock())
        self.default = Application(
            id=DEFAULT_ID,
            application_name="offhook",
            webhook_event_url=webhook_url,
            webhook_api_version="2",
            created_at=now,
            updated_at=now,
        )
        self._kept = {DEFAULT_ID: self.default} | {
            each: msgspec.structs.replace(self.default, id=each, application_name=f"offhook {each}")
            for each in connections
        }
        self._journal = journal
        self._of_settings = frozenset(self._kept)
        if journal is not None:
            created = journal.read("applications", Application)
            self._kept |= {one.id: one for one in created if one.id not in self._kept}

    def get(self, application_id: str) -> Application:
        """Raises CarrierError (404)."""
        found = self._kept.get(application_id)
        if found is None:
            raise request_errors.not_found()
        return found

    def of_call(self, connection_id: str) -> Application:
        """Whose configuration a call has: the default one's, if its application was deleted."""
        return self._kept.get(connection_id, self.default)

    def takes_calls(self, connection_id: str) -> bool:
        """False if there is none by this id, or it is not active."""
        application = self._kept.get(connection_id)
        return application is not None and application.active

    def create(self, body: Mapping[str, Any]) -> Application:
        """Raises CarrierError (422)."""
        if len(self._kept) >= self._applications_max:
            raise call_errors.not_possible(
                f"There are {self._applications_max} applications; the simulator takes no more."
            )
        asked = _asked(body, NewApplication)
        now = milliseconds(self._clock())
        return self._keep(
            Application(
                **msgspec.structs.asdict(asked),
                id="".join(self._identities.choices("123456789", k=19)),
                created_at=now,
                updated_at=now,
            )
        )

    def update(self, application_id: str, body: Mapping[str, Any]) -> Application:
        """Raises CarrierError (404, or 422)."""
        before = self.get(application_id)
        asked = _asked(body, ChangedApplication)
        changed = {name: getattr(asked, name) for name in body}
        for part in ("inbound", "outbound"):
            if part in body:
                given = {name: getattr(changed[part], name) for name in body[part]}
                changed[part] = msgspec.structs.replace(getattr(before, part), **given)
        now = milliseconds(self._clock())
        return self._keep(msgspec.structs.replace(before, **changed, updated_at=now))

    def delete(self, application_id: str) -> Application:
        """The application as it was; its calls are refused from now on. Raises CarrierError (404)."""
        gone = self.get(application_id)
        del self._kept[application_id]
        if self._journal is not None:
            self._journal.forget("applications", application_id)
        return gone

    def listed(self, query: Mapping[str, str]) -> Sequence[Application]:
        """Filtered and sorted as the query asks; the newest first if it does not. Raises CarrierError.

        The documents list filters of other resources too; they change nothing here.
        """
        searched = query.get("filter[application_name][contains]")
        if searched is not None and len(searched) < SEARCHED_LENGTH_MIN:
            raise request_errors.search_too_short("filter[application_name][contains]")
        profile = query.get("filter[outbound.outbound_voice_profile_id]")
        found = [
            one
            for one in self._kept.values()
            if (searched is None or searched.lower() in one.application_name.lower())
            and profile in (None, one.outbound.outbound_voice_profile_id)
        ]
        sort = query.get("sort", "-created_at")
        if (key := _SORTS.get(sort.removeprefix("-"))) is None:
            raise request_errors.sort_unknown(sort, list(_SORTS))
        # The kept order breaks ties: it is that of creation.
        ordered = sorted(enumerate(found), key=lambda one: (key(one[1]), one[0]))
        return [one for _, one in (reversed(ordered) if sort.startswith("-") else ordered)]

    def _keep(self, application: Application) -> Application:
        self._kept[application.id] = application
        if application.id == DEFAULT_ID:
            self.default = application
        if self._journal is not None and application.id not in self._of_settings:
            self._journal.keep("applications", application.id, application)
        return application


_SORTS: dict[str, Callable[[Application], Any]] = {
    "created_at": lambda one: one.created_at,
    "connection_name": lambda one: one.application_name,
    "active": lambda one: one.active,
}


def _asked(body: Mapping[str, Any], kind: type[Body]) -> Body:
    try:
        return application_from(body, kind)
    except ParameterInvalid as error:
        raise parameter_errors.parameter_invalid(error) from None
