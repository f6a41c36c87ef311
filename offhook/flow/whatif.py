"""What a flow decides now, compared with what the log says was decided. Pure.

Compared is what a Decided stores: its commands and its timers, their order, legs and parameters.
Ids are not compared, and neither are warnings, which depend on the settings of the worker.

    kind         what was decided now
    error        nothing: the flow raised
    recovered    something, where the recorded flow raised and the session was parked
    missing      fewer orders: some of the recorded ones are missing
    extra        more orders than were recorded
    replaced     other orders in place of recorded ones
    parameters   the same orders, with other parameters or for another leg
    reordered    the same orders in another order
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from offhook.errors import shown
from offhook.events import (
    CommandFailed,
    Fact,
    IssuedCommand,
    TimerFired,
    TimerOrder,
    WebhookReceived,
)
from offhook.flow.decision import Stored
from offhook.redact import hidden

Kind = Literal["error", "recovered", "missing", "extra", "replaced", "parameters", "reordered"]
KINDS: tuple[Kind, ...] = get_args(Kind)

NAMES_SHOWN_MAX = 8
"""Orders, or names of parameters, that a signature lists of each kind."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """`what` has no value that differs from call to call, so that equal mistakes read the same.

    `recorded` and `now` are the orders as text, a line each.
    """

    kind: Kind
    what: str
    recorded: Sequence[str] = ()
    now: Sequence[str] = ()


def difference(recorded: Stored, now: Stored, *, own_leg: str | None = None) -> Difference | None:
    """None if the two are the same. `own_leg` is the leg of the event decided on."""
    if (recorded.commands, recorded.timers) == (now.commands, now.timers):
        return None
    before = [*map(_of_command, recorded.commands), *map(_of_timer, recorded.timers)]
    after = [*map(_of_command, now.commands), *map(_of_timer, now.timers)]
    if before == after:
        return None
    kind, what = _told_apart(before, after)
    return Difference(
        kind=kind,
        what=what,
        recorded=[_text(order, own_leg) for order in before],
        now=[_text(order, own_leg) for order in after],
    )


def orders_of(stored: Stored, *, own_leg: str | None = None) -> list[str]:
    """The orders as text, a line each, as in a Difference."""
    orders = [*map(_of_command, stored.commands), *map(_of_timer, stored.timers)]
    return [_text(order, own_leg) for order in orders]


def event_name(fact: Fact) -> str:
    """The event that a decision is about, without values that differ from call to call."""
    match fact:
        case WebhookReceived(event=event):
            return event.event_type or "an unknown event"
        case TimerFired(name=name):
            return f"timer {name!r}"
        case CommandFailed(operation=operation, reason=reason):
            return f"failed {operation} ({reason})"
        case _:
            return type(fact).__name__


class _Order(NamedTuple):
    name: str  # of its kind: what is done, but for the values
    leg: str | None
    parameters: Mapping[str, Any]


def _of_command(command: IssuedCommand) -> _Order:
    # As JSON, which is how the recorded one was stored: a tuple is a list there.
    parameters = msgspec.json.decode(msgspec.json.encode(command.parameters))
    return _Order(f"`{command.operation}`", command.call_control_id, parameters)


def _of_timer(timer: TimerOrder) -> _Order:
    if timer.after_s is None:
        # Which timer is cancelled is in the session, and it has no leg of its own.
        return _Order(f"cancelled timer `{timer.name}`", None, {})
    return _Order(f"timer `{timer.name}`", timer.call_control_id, {"after_s": timer.after_s})


def _told_apart(before: Sequence[_Order], after: Sequence[_Order]) -> tuple[Kind, str]:
    pairs, missing, extra = _paired(before, after)
    parts: list[str] = []
    if missing and extra:
        parts.append(f"{_listed(extra)} instead of {_listed(missing)}")
    elif missing:
        parts.append(f"{_listed(missing)} missing")
    elif extra:
        parts.append(f"{_listed(extra)} extra")
    changed = [(before[old], after[new]) for old, new in pairs if before[old] != after[new]]
    parts += dict.fromkeys(_changes(old, new) for old, new in changed)
    in_order = [new for _, new in pairs]
    if in_order != sorted(in_order):
        parts.append(f"{_listed([after[new] for new in sorted(in_order)])} in another order")
    kind: Kind
    if missing and extra:
        kind = "replaced"
    elif missing or extra:
        kind = "missing" if missing else "extra"
    else:
        kind = "parameters" if changed else "reordered"
    return kind, "; ".join(parts)


def _paired(
    before: Sequence[_Order], after: Sequence[_Order]
) -> tuple[list[tuple[int, int]], list[_Order], list[_Order]]:
    """Which recorded order became which, by place, in the recorded order; and those left over.

    Equal ones first, then those of the same name and leg, then of the same name.
    """
    pairs: list[tuple[int, int]] = []
    left, free = list(range(len(before))), list(range(len(after)))
    for alike in (_is_equal, _is_for_same_leg, _is_same):
        for old in list(left):
            new = next((new for new in free if alike(before[old], after[new])), None)
            if new is not None:
                pairs.append((old, new))
                left.remove(old)
                free.remove(new)
    return sorted(pairs), [before[old] for old in left], [after[new] for new in free]


def _is_equal(old: _Order, new: _Order) -> bool:
    return old == new


def _is_for_same_leg(old: _Order, new: _Order) -> bool:
    return old[:2] == new[:2]


def _is_same(old: _Order, new: _Order) -> bool:
    return old.name == new.name


def _changes(old: _Order, new: _Order) -> str:
    names = old.parameters.keys() | new.parameters.keys()
    changed = [
        name
        for name in sorted(names)
        if old.parameters.get(name, _ABSENT) != new.parameters.get(name, _ABSENT)
    ]
    said = [] if old.leg == new.leg else ["for another leg"]
    if changed:
        said.append(f"with other {_shortened([f'`{name}`' for name in changed])}")
    return f"{old.name} {' and '.join(said)}"


_ABSENT = object()


def _listed(orders: Sequence[_Order]) -> str:
    return _shortened([order.name for order in orders])


def _shortened(names: Sequence[str]) -> str:
    more = len(names) - NAMES_SHOWN_MAX
    listed = ", ".join(names[:NAMES_SHOWN_MAX])
    return f"{listed} and {more} more" if more > 0 else listed


def _text(order: _Order, own_leg: str | None) -> str:
    return " ".join(_words(order, own_leg))


def _words(order: _Order, own_leg: str | None) -> Iterator[str]:
    yield order.name.replace("`", "")
    if order.leg is not None and order.leg != own_leg:
        yield f"leg={order.leg}"
    for name, value in hidden(order.parameters).items():
        yield f"{name}={shown(value)}"
