"""`offhook --version`: what a report of a fault begins with."""

from importlib.metadata import version

from typer.testing import CliRunner

from offhook.cli.main import app


def test_the_command_tells_its_version() -> None:
    told = CliRunner().invoke(app, ["--version"])
    assert (told.exit_code, told.output) == (0, f"offhook {version('offhook')}\n")
