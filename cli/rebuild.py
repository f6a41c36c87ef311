"""`offhook rebuild`: the views, again from the log."""

from offhook.cli.options import ReadyFile, console, settings_of_command


def rebuild(ready_file: ReadyFile = None) -> None:
    """Fold the views anew from the log's first event; goes on where it was killed."""
    from offhook.cli.remote.rebuild import run_rebuild

    run_rebuild(console, settings_of_command(ready_file))
