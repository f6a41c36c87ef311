"""`offhook import` in a process of its own, which is killed amid its records."""

import os
import signal
import sys
from typing import Any

from offhook.cli.main import main
from offhook.jetstream.log import JetStreamLog

BEGUN = 100
"""Records that it has begun to append when it is killed."""


def killed_import(path: str) -> None:
    """In the new process."""
    append, begun = JetStreamLog.append, 0

    async def counted(*args: Any, **more: Any) -> Any:
        nonlocal begun
        begun += 1
        if begun > BEGUN:
            os.kill(os.getpid(), signal.SIGKILL)
        return await append(*args, **more)

    JetStreamLog.append = counted  # type: ignore[method-assign]
    sys.argv = ["offhook", "import", path]
    main()
