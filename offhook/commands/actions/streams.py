"""Media that goes elsewhere: forks, SIPREC, streaming. Generated: do not edit."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from offhook.commands.base import LegCommand, Rule, Stateful, required_with, zero_or_from
from offhook.commands.objects import DialogflowConfig, StreamParameter
from offhook.commands.parameters import (
    AuthToken,
    BidirectionalCodec,
    Legs,
    SamplingRate,
    StreamCodec,
    StreamTrack,
    WebSocketUrl,
)

__all__ = [
    "StartForking",
    "StopForking",
    "StartSiprec",
    "StopSiprec",
    "StartStreaming",
    "StopStreaming",
]


@dataclass(frozen=True, kw_only=True)
class StartForking(LegCommand, Stateful):
    """Also send the leg's media (RTP) to the network targets `rx` and `tx`."""

    operation: ClassVar[str] = "fork_start"
    rules: ClassVar[tuple[Rule, ...]] = (
        required_with("rx", "tx", "stream_type"),
        required_with("tx", "rx", "stream_type"),
    )

    rx: str | None = None
    stream_type: Literal["decrypted"] | None = None
    tx: str | None = None


@dataclass(frozen=True, kw_only=True)
class StopForking(LegCommand, Stateful):
    """Stop forking the leg's media."""

    operation: ClassVar[str] = "fork_stop"

    stream_type: Literal["raw", "decrypted"] | None = None


@dataclass(frozen=True, kw_only=True)
class StartSiprec(LegCommand, Stateful):
    """Start a SIPREC session to the SRS of a configured connector."""

    operation: ClassVar[str] = "siprec_start"
    takes_command_id: ClassVar[bool] = False
    rules: ClassVar[tuple[Rule, ...]] = (zero_or_from("session_timeout_secs", 90),)

    connector_name: str | None = None
    include_metadata_custom_headers: bool | None = None
    secure: bool | None = None
    session_timeout_secs: int | None = None
    sip_transport: Literal["udp", "tcp", "tls"] | None = None
    siprec_track: Literal["inbound_track", "outbound_track", "both_tracks"] | None = None


@dataclass(frozen=True, kw_only=True)
class StopSiprec(LegCommand, Stateful):
    """End the leg's SIPREC session."""

    operation: ClassVar[str] = "siprec_stop"


@dataclass(frozen=True, kw_only=True)
class StartStreaming(LegCommand, Stateful):
    """Stream the leg's media to a WebSocket or to Dialogflow."""

    operation: ClassVar[str] = "streaming_start"

    custom_parameters: list[StreamParameter] | None = None
    dialogflow_config: DialogflowConfig | None = None
    enable_dialogflow: bool | None = None
    stream_auth_token: AuthToken | None = None
    stream_bidirectional_codec: BidirectionalCodec | None = None
    stream_bidirectional_mode: Literal["mp3", "rtp"] | None = None
    stream_bidirectional_sampling_rate: SamplingRate | None = None
    stream_bidirectional_target_legs: Legs | None = None
    stream_codec: StreamCodec | None = None
    stream_track: StreamTrack | None = None
    stream_url: WebSocketUrl | None = None


@dataclass(frozen=True, kw_only=True)
class StopStreaming(LegCommand, Stateful):
    """Stop one stream of the leg, or all of them."""

    operation: ClassVar[str] = "streaming_stop"

    stream_id: str | None = None
