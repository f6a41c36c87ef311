"""The command that Offhook puts ahead of a flow's own: a hangup of a leg that nobody wants. Pure.

It is the first of its decision, and the decision's first warning says why it is there.
"""

from collections.abc import Sequence

UNWANTED_LEG = "unwanted-leg"
"""The name in the place of the flow's."""


def reason_of_hangup(dial_id: str) -> str:
    """The warning of a decision that begins with a hangup of ours. Stored, so it never changes."""
    return f"{_START}{dial_id}) has failed, and its call has ended"


def is_inserted(ordinal: int, warnings: Sequence[object]) -> bool:
    """Whether the command at `ordinal`, from 0, of a decision with these warnings is ours."""
    return ordinal == 0 and bool(warnings) and str(warnings[0]).startswith(_START)


_START = "hangup: the leg's dial ("
