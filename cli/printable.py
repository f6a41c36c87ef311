"""Texts from outside, for a terminal."""


def printable(text: str) -> str:
    """The text without control characters: a caller's name cannot command the terminal."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)
