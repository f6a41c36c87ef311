"""What the state of a call, a conference or a connection does not allow."""

from offhook.simulator.errors.carrier_error import CarrierError


def call_unknown(pointer: str = "/call_control_id") -> CarrierError:
    """90015: no such leg; `pointer` is where the body names it."""
    return CarrierError(
        422,
        "90015",
        "Invalid Call Control ID",
        f"The {pointer.removeprefix('/')} provided was not valid.",
        pointer=pointer,
    )


def call_ended() -> CarrierError:
    """90018: the leg has ended."""
    return CarrierError(
        422,
        "90018",
        "Call has already ended",
        "This call is no longer active and can't receive commands.",
    )


def call_not_answered() -> CarrierError:
    """90034: the leg has not been answered yet."""
    return CarrierError(
        422,
        "90034",
        "Call not answered yet",
        "This call can't receive this command because it has not been answered yet.",
    )


def answer_of_outbound() -> CarrierError:
    """90102: only an incoming leg can be answered."""
    return CarrierError(
        422,
        "90102",
        "Command is invalid",
        "Call answer command cannot be issued for outbound calls.",
    )


def not_possible(detail: str) -> CarrierError:
    """Understood, but it cannot be done to this leg in this state."""
    return CarrierError(422, "10027", "Unprocessable Entity", detail)


def connection_unknown() -> CarrierError:
    """10015: no active application has this connection_id."""
    return CarrierError(
        422,
        "10015",
        "Invalid value for connection_id (Call Control App ID)",
        "The requested connection_id (Call Control App ID) is either invalid or does not exist. "
        "Only Call Control Apps with valid webhook URL are accepted.",
        pointer="/connection_id",
    )


def url_invalid(pointer: str) -> CarrierError:
    """10003: not a URL with a host; `pointer` is where the body has it."""
    return CarrierError(
        422,
        "10003",
        "Invalid URL",
        "The URL provided was invalid, malformed, or too long.",
        pointer=pointer,
    )


def not_in_queue() -> CarrierError:
    """90035: the leg is in no queue."""
    return CarrierError(
        422,
        "90035",
        "Call not in queue",
        "This call can't receive this command because it has not been put in any queue yet.",
    )


def queue_full() -> CarrierError:
    """90036: the queue has reached its maximum size."""
    return CarrierError(
        422, "90036", "Queue full", "The queue is full and can't accept more calls."
    )


def in_queue_already() -> CarrierError:
    """90038: the leg is in a queue."""
    return CarrierError(
        422, "90038", "Call already in queue", "Call can't be added to a queue it's already in."
    )


def not_forked() -> CarrierError:
    """90031: no fork to stop."""
    return CarrierError(
        422,
        "90031",
        "Call is not currently forked",
        "Can't stop forking, because the call isn't currently forked.",
    )


def not_streaming() -> CarrierError:
    """90048: no stream to stop."""
    return CarrierError(
        422,
        "90048",
        "Media Streaming is not used.",
        "This command can only be issued when media streaming is used.",
    )


def transcribed_already() -> CarrierError:
    """90054: the leg is being transcribed."""
    return CarrierError(
        422,
        "90054",
        "Call Transcription is already in progress",
        "Call Transcription can not be started more than once.",
    )


def assistant_already() -> CarrierError:
    """90061: an assistant or a relay is on the leg."""
    return CarrierError(
        422,
        "90061",
        "AI Assistant is already in progress",
        "AI Assistant cannot be started more than once.",
    )


def conference_unknown() -> CarrierError:
    """90058: no such conference."""
    return CarrierError(404, "90058", "Invalid conference_id", "The conference does not exist.")


def conference_joined_already() -> CarrierError:
    """90044: the leg is in this conference."""
    return CarrierError(
        422,
        "90044",
        "Conference join not allowed",
        "Participant must not join the same conference twice.",
    )
