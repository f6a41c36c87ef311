"""What the carrier's hangup causes and SIP codes mean, in a few words.

The causes are those of the webhook call.hangup (OpenAPI, schema CallHangup); a new one may appear
at any time and is shown as it is. Codes have their reason phrase of RFC 3261, section 21.
"""

CAUSES = {
    "normal_clearing": "ended normally",
    "originator_cancel": "the calling side gave up before the answer",
    "call_rejected": "the call was rejected",
    "user_busy": "busy",
    "timeout": "nobody answered before timeout_secs ran out",
    "no_answer": "nobody answered before timeout_secs ran out",
    "time_limit": "time_limit_secs of the leg ran out",
    "not_found": "the number does not exist or cannot be routed",
    "unspecified": "the carrier gave no cause",
}

SIP_CODES = {
    "200": "OK",
    "400": "Bad Request",
    "401": "Unauthorized",
    "403": "Forbidden",
    "404": "Not Found",
    "408": "Request Timeout",
    "480": "Temporarily Unavailable",
    "484": "Address Incomplete",
    "486": "Busy Here",
    "487": "Request Terminated",
    "488": "Not Acceptable Here",
    "500": "Server Internal Error",
    "502": "Bad Gateway",
    "503": "Service Unavailable",
    "504": "Server Time-out",
    "600": "Busy Everywhere",
    "603": "Decline",
    "604": "Does Not Exist Anywhere",
}

HINTS = {
    "403": "Telnyx sends 403 when a channel limit is reached, or the connection, the outbound "
    "voice profile, the destination or the caller ID is not allowed.",
    "404": "Check that the number is complete and in E.164, and that a route to it exists.",
    "480": "The far end could not be reached: its SIP client may not be registered.",
    "488": "The two ends have no codec or encryption in common.",
    "503": "No route or the next carrier failed. Another attempt may succeed.",
}
"""What to look at, by SIP code."""


def cause_text(cause: str | None) -> str:
    """The meaning of a hangup cause; the cause itself if it is a new one."""
    return "no cause is known" if not cause else CAUSES.get(cause, cause)


def sip_text(code: str | None) -> str:
    """`SIP 486 Busy Here`; empty if the carrier named no code."""
    if not code or code == "unspecified":
        return ""
    return f"SIP {code} {SIP_CODES.get(code, '')}".rstrip()
