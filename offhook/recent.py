"""A dict that keeps what was set last. Pure."""

from collections import OrderedDict
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class RecentDict(OrderedDict[Key, Value]):
    """At most `entries_max` entries, oldest first; one that is set, again too, is the newest.

    Beyond the bound the oldest are dropped, and counted. Reading an entry leaves it where it is.
    """

    def __init__(self, entries_max: int) -> None:
        super().__init__()
        self.entries_max = entries_max
        self.dropped = 0

    def __setitem__(self, key: Key, value: Value) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        while len(self) > self.entries_max:
            self.popitem(last=False)
            self.dropped += 1
