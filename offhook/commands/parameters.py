"""What a parameter may be: the value types that commands are declared with.

Each pattern is one that the carrier documents, and its description is the words for what it wants.
Patterns end in \\Z: `$` would let a line break at the end through. A type with a pattern must not
stand in a union with a list or a map: msgspec 0.22 reads foreign memory then, and crashes.

Source of names, enums and bounds: team-telnyx/openapi `spec3.yml` 12de4dd0 and the official
Python SDK 4.189.0.
"""

from typing import Annotated, Literal

from msgspec import Meta

# Seven digits at least, as in `offhook.phone_numbers`: +683 4000 is a whole number of Niue.
_E164 = r"\+[1-9][0-9]{6,14}"
_SIP = r"sips?:[^\s@]+@[^\s@]+"
_DTMF = "[0-9A-DwW*#]"  # w and W are pauses of 0.5 and 1 s
_NUMBER_OR_SIP = "a number in E.164 (+12025550123) or a SIP URI (sip:user@host)"
_DTMF_WORDS = "digits 0-9, A-D, * and #, and w and W for pauses"

# The carrier takes a telephone number in E.164 or a SIP URI (error 10016 otherwise).
PhoneOrSip = Annotated[str, Meta(pattern=rf"^({_E164}|{_SIP})\Z", description=_NUMBER_OR_SIP)]
# Digits to play once it answers may follow a single destination: `+18004247767,200`.
Destination = Annotated[
    str,
    Meta(pattern=rf"^({_E164}(,{_DTMF}{{1,64}})?|{_SIP})\Z", description=_NUMBER_OR_SIP),
]
SipUri = Annotated[str, Meta(pattern=rf"^{_SIP}\Z", description="a SIP URI (sip:user@host)")]
Url = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z][A-Za-z0-9+.-]*://\S+\Z", description="a URL (https://host/path)"),
]
WebSocketUrl = Annotated[
    str, Meta(pattern=r"^wss?://\S+\Z", description="a WebSocket URL (wss://host/path)")
]
# An empty string is valid base64 and clears the state (error 90017 for anything else).
Base64 = Annotated[
    str,
    Meta(
        pattern=r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\Z",
        description="base64",
    ),
]
Uuid = Annotated[
    str,
    Meta(pattern=r"^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z", description="a UUID"),
]
MediaType = Annotated[
    str,
    Meta(pattern=r"^[\w.+-]+/[\w.+-]+(?:\s*;.*)?\Z", description="a media type (text/plain)"),
]
# What fits between the quotes of a SIP Reason header; the carrier answers 422 to the rest.
QuotableText = Annotated[
    str,
    Meta(
        pattern=r'^[^"\\\x00-\x1f\x7f\U00010000-\U0010ffff]*\Z',
        description="text without double quotes, backslashes, control characters and characters "
        "beyond U+FFFF",
    ),
]
DisplayName = Annotated[
    str,
    Meta(
        pattern=r"^[\w \-~!.+]*\Z",
        max_length=128,
        description="letters, digits, spaces and -_~!.+",
    ),
]
Digits = Annotated[str, Meta(pattern=rf"^{_DTMF}+\Z", description=_DTMF_WORDS)]
DigitsOnAnswer = Annotated[
    str, Meta(pattern=rf"^{_DTMF}*\Z", max_length=64, description=_DTMF_WORDS)
]
Text1 = Annotated[str, Meta(min_length=1)]
Speech = Annotated[str, Meta(max_length=3000)]
FileName = Annotated[str, Meta(min_length=1, max_length=40)]
AuthToken = Annotated[str, Meta(max_length=4000)]

RetriesMs = Annotated[list[Annotated[int, Meta(ge=0)]], Meta(max_length=5)]
Loop = Literal["infinity"] | Annotated[int, Meta(ge=1, le=100)]

Detection = Literal[
    "premium",
    "premium_ios_call_screening_detection",
    "detect",
    "detect_beep",
    "detect_words",
    "greeting_end",
    "disabled",
]
StreamCodec = Literal["PCMU", "PCMA", "G722", "OPUS", "AMR-WB", "L16", "default"]
BidirectionalCodec = Literal["PCMU", "PCMA", "G722", "OPUS", "AMR-WB", "L16"]
SamplingRate = Literal[8000, 16000, 22050, 24000, 48000]
StreamTrack = Literal["inbound_track", "outbound_track", "both_tracks"]
Legs = Literal["self", "opposite", "both"]
SupervisorRole = Literal["barge", "whisper", "monitor"]
SipRegion = Literal["US", "Europe", "Canada", "Australia", "Middle East"]
Ringtone = Literal[
    "at", "au", "be", "bg", "br", "ch", "cl", "cn", "cz", "de", "dk", "ee", "es", "fi", "fr", "gr",
    "hu", "il", "in", "it", "jp", "lt", "mx", "my", "nl", "no", "nz", "ph", "pl", "pt", "ru", "se",
    "sg", "th", "tw", "uk", "us-old", "us", "ve", "za",
]  # fmt: skip
