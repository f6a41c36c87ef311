"""Every command to the carrier: one class per operation, checked by its types.

    dial answer transfer bridge hangup reject refer send_sip_info      calls.py, by hand
    speak gather playback_start record_start … (34 more)               actions/, generated
    what all have in common, and rules over several parameters         base.py
    the objects that parameters may be                                 objects.py, generated
    what a text or a number may be                                     parameters.py

Fields are the carrier's own parameter names (Python keywords get a trailing underscore, `from_`).
What is left out is not sent, so the carrier's defaults hold. `call_control_id` is the leg to
command; a flow may leave it out and means the leg of the event it decides on.
How a command looks over HTTP is in `offhook.commands.catalog`.
"""

from offhook.commands.actions import *  # noqa: F403
from offhook.commands.actions import ACTIONS
from offhook.commands.base import Command as Command
from offhook.commands.base import LegCommand as LegCommand
from offhook.commands.base import Stateful as Stateful
from offhook.commands.calls import *  # noqa: F403
from offhook.commands.calls import CALLS

COMMANDS: dict[str, type[Command]] = {kind.operation: kind for kind in CALLS + ACTIONS}
"""Operation name -> the command's type."""
