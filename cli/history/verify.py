"""The command `offhook verify`: stored signatures checked again."""

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offhook.cli.counted import counted
from offhook.cli.history.options import SELECTION, selection_of
from offhook.cli.options import (
    AsJson,
    ReadyFile,
    UsageWrong,
    console,
    settings_of_command,
    with_options,
)
from offhook.errors import SettingInvalid, shown_url
from offhook.history.selection import Selection
from offhook.position import position_text
from offhook.settings import Settings

if TYPE_CHECKING:
    from offhook.history.lines import HistoryRecord
    from offhook.history.verifying import Verified


@with_options(SELECTION)
def verify(
    *,
    file: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Check an exported file instead of the installation. May be repeated.",
        ),
    ] = None,
    public_key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY",
            help="Accept this public key too, such as one that was replaced.",
        ),
    ] = None,
    allow_unsigned: Annotated[
        bool, typer.Option(help="Do not fail for webhooks that have no signature.")
    ] = False,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
    **chosen: Any,
) -> None:
    """Check the signatures of stored webhooks again. Fails if one is altered or unsigned.

    It also fails if a file of the archive is not as it was written.
    Their age does not matter. Files are checked without a server.
    """
    from offhook.cli.history.reading import run

    settings = settings_of_command(ready_file)
    selection = selection_of(**chosen)
    keys = tuple(dict.fromkeys((*settings.public_keys, *(public_key or ()))))
    if not keys:
        raise SettingInvalid(
            "there is no key to verify with: set OFFHOOK_PUBLIC_KEYS to the public keys as the"
            " portal shows them, or give --public-key"
        )
    if file and selection.numbers:
        raise UsageWrong("--number needs the views: it cannot be used with --file")
    found = run(_verified(settings, selection, file or (), keys))
    (_print_json if as_json else _print)(found, keys)
    unsigned = found.unsigned and not allow_unsigned
    if found.altered or found.changed_segments or unsigned:
        raise SystemExit(1)


async def _verified(
    settings: Settings, selection: Selection, files: Sequence[str], keys: Sequence[str]
) -> "Verified":
    from offhook.cli.history.progress import Advance
    from offhook.cli.history.reading import selected_records
    from offhook.history.files import records_in
    from offhook.history.selection import Unfound
    from offhook.history.verifying import Verified
    from offhook.telnyx.signature import public_keys_from

    found = Verified()
    verifying = public_keys_from(keys)
    if files:
        unfound = Unfound(selection, sessions=selection.sessions)
        with Advance("verifying") as progress:
            for name in files:
                for record in records_in(name):
                    if selection.takes(record):
                        unfound.see(record)
                        found.check(record, verifying)
                    progress.add()
        unfound.require_nothing(f" in {', '.join(map(shown_url, files))} that are selected")
        return found
    records: AsyncIterator[HistoryRecord]
    async with selected_records(
        settings, selection, "position", "verifying", changed_segments=found.changed_segments
    ) as (records, _):
        async for record in records:
            found.check(record, verifying)
    return found


def _print(found: "Verified", keys: Sequence[str]) -> None:
    def say(text: str, style: str | None = None) -> None:
        console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    say(counted(found.webhooks, "webhook"))
    say(f"{found.authentic:,} authentic")
    for number, count in sorted(found.by_key.items()):
        say(f"  {count:,} by key {keys[number]}")
    for kind, count in (("altered", found.altered), ("unsigned", found.unsigned)):
        say(f"{count:,} {kind}", "red" if count else None)
        for record in found.examples[kind]:
            say(f"  {_example(record)}")
    if found.altered:
        say(
            "altered: changed since, or signed with a key that is not in OFFHOOK_PUBLIC_KEYS; an"
            " older key is given with --public-key"
        )
    for each in found.changed_segments:
        say(f"changed since it was archived: {each}; restore it from a backup", "red")


def _print_json(found: "Verified", keys: Sequence[str]) -> None:
    console.print_json(
        data={
            "webhooks": found.webhooks,
            "authentic": found.authentic,
            "altered": found.altered,
            "unsigned": found.unsigned,
            "changed_segments": found.changed_segments,
            "by_key": {keys[number]: count for number, count in sorted(found.by_key.items())},
            "examples": {
                kind: [
                    {
                        "position": each.position,
                        "session_id": each.session_id,
                        "event_id": each.fact_id,
                        "stored_at": each.stored_at.isoformat(),
                    }
                    for each in records
                ]
                for kind, records in found.examples.items()
            },
        }
    )


def _example(record: "HistoryRecord") -> str:
    return (
        f"position {position_text(record.position)}: event {record.fact_id}"
        f" of session {record.session_id},"
        f" stored {record.stored_at:%Y-%m-%d %H:%M:%S} UTC"
    )
