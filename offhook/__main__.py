"""`python -m offhook`: the same as the command `offhook`."""

import os
import sys

if __name__ == "__main__":
    # Python put the working directory first. The command `offhook` starts without it.
    if not sys.flags.safe_path and sys.path[0] == os.getcwd():
        del sys.path[0]

    from offhook.cli.main import main

    main()
