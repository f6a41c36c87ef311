"""The command `offhook rebuild`."""

from offhook.cli.options import ReadyFile, console, settings_of_command


def rebuild(ready_file: ReadyFile = None) -> None:
    """Rebuild the views from the start of the log. If interrupted, run it again to continue."""
    from offhook.cli.remote.rebuild import run_rebuild

    run_rebuild(console, settings_of_command(ready_file))
