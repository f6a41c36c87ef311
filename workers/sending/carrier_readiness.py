"""Readiness by what the carrier answers: what turns a worker red, and green again.

    a refusal of the key                  red until any command succeeds
    a refusal for the account's state     red until a command of the same operation succeeds: an
                                          account without funds still hangs up
    any other answer, or none             no change

A worker that is red goes on working: calls that are up may still be hung up.
"""

from offhook.events import CommandFailed, CommandSucceeded
from offhook.telnyx.error_codes import stops_everything


class CarrierReadiness:
    """For the account and key that all commands of a process share."""

    def __init__(self) -> None:
        self._refused: dict[str, CommandFailed] = {}

    @property
    def trouble(self) -> str:
        """Why the worker is not ready, as one line; empty if it is."""
        for failed in self._refused.values():
            if failed.reason == "unauthorized":
                return f"the carrier refuses OFFHOOK_CARRIER_KEY for {_in_words(failed)}"
        for failed in self._refused.values():
            return f"the carrier refuses commands of this account: {_in_words(failed)}"
        return ""

    def learn(self, operation: str, outcome: CommandSucceeded | CommandFailed) -> None:
        """Learn from the outcome of a command."""
        if isinstance(outcome, CommandFailed):
            if outcome.reason == "unauthorized" or stops_everything(outcome.group):
                self._refused[operation] = outcome
        elif outcome.http_status is not None:  # else nothing was sent
            self._refused.pop(operation, None)
            self._refused = {
                operation: failed
                for operation, failed in self._refused.items()
                if failed.reason != "unauthorized"
            }


def _in_words(failed: CommandFailed) -> str:
    return f"{failed.operation}: {failed.detail}"
