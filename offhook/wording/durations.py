"""How long something took, or has been going on, as the console and the command line write it.

The scripts of the console write a growing age the same way (`times.js`).
"""


def duration(seconds: float | None, missing: str = "") -> str:
    """`186 ms`, `4.02 s`, `45 s`, `3:05`, `26:02:03`; three digits of what is below a minute."""
    if seconds is None:
        return missing
    sign, size = "-" if seconds < 0 else "", abs(seconds)
    if 0 < size < 0.9995:
        return f"{sign}{1000 * size:.0f} ms"
    if size < 59.95:
        return f"{sign}{size:.3g} s"
    return f"{sign}{_clock(round(size))}"


def age(seconds: float | None, missing: str = "") -> str:
    """A growing age, in whole seconds that have passed: `42 s`, `3:05`, `26:02:03`, `3 days`."""
    if seconds is None:
        return missing
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    return _clock(whole) if whole < 48 * 3600 else f"{whole // 86_400} days"


def _clock(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
