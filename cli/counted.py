"""Numbers of things in words."""


def counted(count: int, noun: str) -> str:
    """A number with its noun: "1 record", "2,000 records". `noun` is one of them."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
