"""Errors of the carrier itself: overload, limits, the account, and failures of its own."""

from offhook.simulator.errors.carrier_error import CarrierError


def unexpected_error() -> CarrierError:
    """10007 with status 500."""
    return CarrierError(500, "10007", "Internal server error", "Internal server error")


def unavailable() -> CarrierError:
    """10007 with status 503."""
    return CarrierError(503, "10007", "Service unavailable", "Service unavailable")


def not_authorized() -> CarrierError:
    """10010: the key may not do this."""
    return CarrierError(
        403,
        "10010",
        "Authorization failed",
        "You do not have permission to perform the requested action on the specified resource "
        "or resources.",
    )


def account_inactive() -> CarrierError:
    """20012: the account is deactivated."""
    return CarrierError(
        403,
        "20012",
        "Account inactive",
        "The request cannot be fulfilled because your account has been deactivated. It may be out "
        "of funds.",
    )


def channels_exhausted() -> CarrierError:
    """90041: too many legs are up."""
    return CarrierError(
        422,
        "90041",
        "User termination channels limit exceeded",
        "The limit of simultaneous termination channels configured to your user has been reached.",
    )


def dials_exceeded() -> CarrierError:
    """90103: too many dials a second."""
    return CarrierError(
        429,
        "90103",
        "Dials per second limit exceeded",
        "Your account has exceeded its limit of dials per second.",
    )


def too_many_requests(reset_s: int) -> CarrierError:
    """10011 with status 429; the limit is reset after `reset_s` seconds."""
    return CarrierError(
        429,
        "10011",
        "Too many requests",
        "You have exceeded the maximum number of allowed requests.",
        headers={
            "x-ratelimit-limit": "1",
            "x-ratelimit-remaining": "0",
            "x-ratelimit-reset": str(reset_s),
        },
    )


def duplicate_command() -> CarrierError:
    """What a repeated command_id might be answered with; the documents do not say."""
    return CarrierError(
        422, "10012", "Duplicate resource", "A command with this command_id was received before."
    )
