"""Prints the errors and warnings that the roles log: each kind at once, repeats as a count.

what is logged       what is printed
flow raised          a block: the flow's place in the code, the event, the session
session parked       the session, what happens to its calls, and what to do
other warnings       one line
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from offhook.cli.counted import counted
from offhook.position import position_text
from offhook.process.repeats import RepeatCount
from offhook.recent import RecentDict

REPEATS_EVERY_S = 5.0
"""How often the number of repeats is printed."""

KINDS_MAX = 200
"""How many kinds of errors are counted separately; of more, those seen last are kept."""

PARKED_SHOWN_MAX = 3
"""Sessions parked by one error that are shown one by one; more are counted."""

VALUE_CHARS_MAX = 200


@dataclass(kw_only=True)
class _Kind:
    """One kind of error, whichever call it happens in."""

    title: str = ""
    traceback: str = ""
    raised: RepeatCount = field(default_factory=RepeatCount)
    parked: RepeatCount = field(default_factory=lambda: RepeatCount(PARKED_SHOWN_MAX))


class ErrorReport:
    """`parked` is the setting OFFHOOK_PARKED; `log_path` returns the path of a role's log."""

    def __init__(
        self,
        console: Console,
        *,
        parked: str,
        log_path: Callable[[str], Path],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._parked = parked
        self._log_path = log_path
        self._clock = clock
        self._kinds = RecentDict[tuple[str, ...], _Kind](KINDS_MAX)
        self._repeats_at = 0.0

    def take(self, role: str, line: Mapping[str, Any]) -> None:
        """Print a line that a role logged if it is a new error or warning; count it if not."""
        if line.get("level") not in ("warning", "error", "critical"):
            return
        match line.get("what"):
            case "flow raised":
                self._flow_raised(role, line)
            case "session parked":
                self._session_parked(line)
            case _:
                self._other(role, line)

    def print_repeats(self) -> None:
        """Print how often known errors were repeated, every REPEATS_EVERY_S; call it more often."""
        if self._clock() < self._repeats_at:
            return
        self._repeats_at = self._clock() + REPEATS_EVERY_S
        for kind in self._kinds.values():
            raised, parked = kind.raised.take(), kind.parked.take()
            if raised or parked:
                counts = [counted(raised, "more time")] if raised else []
                counts += [f"{counted(parked, 'more session')} parked"] if parked else []
                self._print(Text(f"  again: {kind.title} ({', '.join(counts)})", "yellow"))

    def tracebacks(self) -> Iterator[str]:
        """The first traceback of each kind of error in a flow."""
        return (kind.traceback for kind in self._kinds.values() if kind.traceback)

    def _flow_raised(self, role: str, line: Mapping[str, Any]) -> None:
        kind = self._kind_of(line)
        # The other attempts on the same record are no news.
        is_news = line.get("attempt") == 1 or not kind.raised.total
        if not is_news or not kind.raised.add():
            return
        kind.traceback = str(line.get("error") or "")
        attempt = f"attempt {line.get('attempt')} of {line.get('attempts_max')}"
        where = _place_of(line)
        self._print(
            Text.assemble(("✗ ", "bold red"), (kind.title, "bold")),
            *([Text(f"    {where}")] if where else []),
            Text(
                f"    on {line.get('event_type')} (seq {_position_of(line)}) of session"
                f" {line.get('session')}, {attempt}"
            ),
            Text(f"    traceback in {self._log_path(role)}", "dim"),
        )

    def _session_parked(self, line: Mapping[str, Any]) -> None:
        if not self._kind_of(line).parked.add():
            return
        session = line.get("session")
        self._print(
            Text.assemble(
                ("✗ ", "bold red"),
                (f"session {session} is parked", "bold"),
                f" after {line.get('attempts')} attempts; {_effect_on_calls(self._parked)}",
            ),
            Text(
                "    correct the flow and restart the workers, then: offhook parked list,"
                f" offhook parked retry {session}",
                "yellow",
            ),
        )

    def _other(self, role: str, line: Mapping[str, Any]) -> None:
        what, level = str(line.get("what")), str(line.get("level"))
        reason = str(line.get("reason") or "")
        kind = self._kind(role.partition("-")[0], level, what, reason)
        kind.title = kind.title or f"{role}: {what}" + (f", {reason}" if reason else "")
        if not kind.raised.add():
            return
        more = "".join(
            f" {name}={_short(value)}" for name, value in line.items() if name not in _NOT_MORE
        )
        style = "yellow" if level == "warning" else "red"
        error = str(line.get("error") or "").strip().splitlines()
        last = f": {_short(error[-1])}" if error else ""
        self._print(Text.assemble(("! ", style), f"{role}: {what}{last}{more}"))

    def _kind_of(self, line: Mapping[str, Any]) -> _Kind:
        """The kind of a flow's error, without its message, as that often names the call.

        Two flows may raise the same outside of their own code, as for what they return.
        """
        title = str(line.get("error_summary"))
        exception = str(line.get("exception") or title)
        flow, file, number = (str(line.get(name)) for name in ("flow", "file", "line"))
        kind = self._kind("flow", flow, exception, file, number)
        kind.title = kind.title or title
        return kind

    def _kind(self, *key: str) -> _Kind:
        # Set again even if known: what was seen last is kept.
        kind = self._kinds[key] = self._kinds.get(key) or _Kind()
        return kind

    def _print(self, *lines: Text) -> None:
        # Not wrapped here, so that paths and commands can be copied.
        for line in lines:
            self._console.print(line, soft_wrap=True, highlight=False)


def _place_of(line: Mapping[str, Any]) -> str:
    if "file" not in line:
        return ""
    code = f": {line['code']}" if line.get("code") else ""
    return f"{line['file']}, line {line.get('line')}, in {line.get('function')}{code}"


def _effect_on_calls(parked: str) -> str:
    """What OFFHOOK_PARKED does to the calls of a parked session."""
    kind, _, to = parked.partition(":")
    match kind:
        case "hangup":
            return "its calls are hung up (OFFHOOK_PARKED=hangup)"
        case "transfer":
            return f"its caller is transferred to {to} (OFFHOOK_PARKED)"
        case _:
            return f"its callers hear nothing (OFFHOOK_PARKED={parked})"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[: VALUE_CHARS_MAX - 1]}…"


_NOT_MORE = frozenset({"at", "level", "role", "what", "error"})


def _position_of(line: Mapping[str, Any]) -> str:
    position = line.get("seq")
    return position_text(position) if isinstance(position, int) else str(position)
