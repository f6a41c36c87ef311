"""What `offhook migrate` says of each revision."""

from io import StringIO

from rich.console import Console

from offhook.cli.embedded.revisions import PRINT_EVERY_S, RevisionLines
from offhook.cli.migrate.run import Showing
from offhook.projections.views.schema.migrate import Migrating


def at(revision: str, part: int = 0, parts: int | None = None) -> Migrating:
    return Migrating(revision=revision, title=f"Title of {revision}", part=part, parts=parts)


def test_the_bar_of_a_revision_knows_nothing_of_the_revision_before() -> None:
    with Showing(Console(file=StringIO(), force_terminal=True, width=80)) as showing:
        for each, expected in (
            (at("0027"), (0, None)),
            (at("0027", 0, 3), (0, 3)),
            (at("0027", 2, 3), (2, 3)),
            (at("0028"), (0, None)),
            (at("0029"), (0, None)),
            (at("0029", 1, 48), (1, 48)),
        ):
            showing(each)
            [task] = showing.bar.tasks
            assert (task.description, task.completed, task.total) == (each.revision, *expected)


def test_a_terminal_gets_a_line_for_each_revision_above_the_bar() -> None:
    file = StringIO()
    with Showing(Console(file=file, force_terminal=True, width=80)) as showing:
        for each in (at("0027"), at("0027", 0, 3), at("0028")):
            showing(each)
        showing.warn("old-1 is running")
        assert showing.revision == "0028"
    for line in ("0027: Title of 0027", "0028: Title of 0028", "warning: old-1 is running"):
        assert file.getvalue().count(line) == 1


def test_without_a_terminal_each_revision_and_how_far_a_long_one_is_are_lines() -> None:
    said: list[str] = []
    now = 50.0
    lines = RevisionLines(said.append, clock=lambda: now)
    lines(at("0027"))
    for part in range(4):
        lines(at("0027", part, 4))
        now += PRINT_EVERY_S / 2
    now += 60
    lines(at("0028"))
    assert said == [
        "0027: Title of 0027",
        "0027: 2 of 4 parts, 2 s left",
        "0028: Title of 0028",
    ]
