"""Which API token a command uses."""

from collections.abc import Sequence


def widest_token(tokens: Sequence[str]) -> str:
    """The token with the widest scope among `scope:token` texts; empty if there is none."""
    for scope in ("admin", "command", "read"):
        for text in tokens:
            if text.startswith(f"{scope}:"):
                return text.partition(":")[2]
    return ""
