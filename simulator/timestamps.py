"""Times as the carrier writes them: UTC, with Z."""

from datetime import UTC, datetime


def iso_microseconds(at: datetime) -> str:
    """Six digits after the point, as in every captured webhook."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def iso_milliseconds(at: datetime) -> str:
    """Three digits after the point, as in the carrier's answers."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
