"""The report."""

from rich.console import Console

from offhook.cli.doctor.finding import Finding
from offhook.cli.doctor.report import print_report


def test_what_was_found_is_printed_as_it_is() -> None:
    console = Console(width=100)
    findings = [Finding(place="log", check="NATS", state="wrong", found="no [x]", fix="see [y]")]
    with console.capture() as captured:
        print_report(console, findings, as_json=False)
    assert [line.rstrip() for line in captured.get().splitlines()] == [
        "settings ·   carrier · ──▶ ingress · ──▶ log ✗ ──▶ workers · ──▶ views · ──▶ api ·",
        "",
        "log       ✗  NATS  no [x]",
        "             → see [y]",
        "",
        "1 of 1 check: wrong",
    ]
