"""How a rebuilt version differs from the live one, as `offhook rebuild start` prints it."""

from itertools import islice

from rich.console import Console
from rich.table import Table
from rich.text import Text

from offhook.cli.counted import counted
from offhook.position import position_text
from offhook.projections.maintenance import Compared, Example, Parity, Positions

REASONS_MAX = 5
"""Of why archived sessions cannot be read: one for each file."""


def print_parity(console: Console, found: Parity) -> None:
    """Print the tables, what was left out, and the verdict in the last line."""
    table = Table()
    for column in ("table", "rows", "checksum", "compared with the live one"):
        table.add_column(column, justify="right" if column == "rows" else "left")
    for each in found.compared:
        table.add_row(
            each.table,
            f"{each.rows:,}",
            each.checksum[:_SHOWN],
            "identical" if each.identical else _difference(each),
            style=None if each.identical else "yellow",
        )
    console.print(table)
    for each in found.compared:
        for example in each.examples:
            console.print(Text(f"  {each.table} {_example(example)}"), soft_wrap=True)
    if found.moving:
        console.print(f"not compared: {counted(found.moving, 'session')} in motion")
    if found.parked:
        console.print(
            f"not folded, with the rows of before: {counted(found.parked, 'session')};"
            " after a cutover, `offhook parked list` says why",
            style="yellow",
        )
    if found.unreadable:
        console.print(
            f"not folded: {counted(sum(found.unreadable.values()), 'archived session')}. After a"
            " cutover they would have the rows of before",
            style="red",
        )
        for reason, sessions in islice(found.unreadable.items(), REASONS_MAX):
            console.print(
                Text(f"  {counted(sessions, 'session')}: {reason}"), style="red", soft_wrap=True
            )
        if len(found.unreadable) > REASONS_MAX:
            console.print(f"  and {len(found.unreadable) - REASONS_MAX:,} more files", style="red")
    if found.unrecorded:
        console.print(
            f"without records in event_log: {counted(found.unrecorded, 'session')} of"
            " the live views",
            style="yellow",
        )
    said = "identical" if found.identical else "they differ"
    if found.uncompared:
        said += f", {counted(found.uncompared, 'session')} not compared"
    console.print(
        f"rebuilt views, {positions_text(found.positions)}: {said}",
        style="green" if found.identical and not found.unreadable else "yellow",
    )


_SHOWN = 16
"""Characters shown of the 32 that are compared."""


def positions_text(positions: Positions) -> str:
    """In each partition: `at 0:9, 1:12, 2:7`."""
    return f"at {', '.join(position_text(position) for _, position in sorted(positions.items()))}"


def _difference(each: Compared) -> str:
    return f"{counted(each.changed, 'row')} changed, {each.added:,} added, {each.removed:,} removed"


def _example(example: Example) -> str:
    key = " ".join(example.key.values())
    if example.only_in:
        return f"{key}: only in the {example.only_in} views"
    changes = (f"{name} {old} → {new}" for name, (old, new) in example.columns.items())
    return f"{key}: {'; '.join(changes)}"
