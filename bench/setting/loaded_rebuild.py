"""`offhook rebuild start --cutover` with N processes, timed once these have loaded: prints seconds.

python -m bench.setting.loaded_rebuild N
"""

import os
import sys
import time

from rich.console import Console

from offhook.cli.rebuild.run import run_start
from offhook.projections.standby import standing_by
from offhook.settings import settings_from

LOADING_S = 3.0


def main() -> None:
    with open(os.devnull, "w") as nowhere, standing_by(int(sys.argv[1]) - 1) as workers:
        time.sleep(LOADING_S)
        began_at = time.perf_counter()
        run_start(
            Console(file=nowhere),
            settings_from(os.environ),
            cutover=True,
            workers=workers,
            grace_hours=24,
            despite_missing=False,
            despite_unreadable=False,
            only_resume=False,
        )
        sys.stdout.write(f"{time.perf_counter() - began_at}\n")


if __name__ == "__main__":
    main()
