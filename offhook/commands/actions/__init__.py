"""Commands for the actions that are not written by hand. Generated: do not edit.

    Assistants and relays that talk with the leg.                        assistants.py
    What the leg hears, and what its keys say.                           audio.py
    The leg itself: its state, its queue, its supervisor, a payment.     legs.py
    Recordings and transcriptions.                                       recordings.py
    Media that goes elsewhere: forks, SIPREC, streaming.                 streams.py

Made by `scripts/generate_commands.py` from the official Python SDK 4.189.0;
docstrings, bounds, rules and groups are in `scripts/command_refinements.py`. Import the commands
from `offhook.commands`, which has them all.
"""

# ruff: noqa: F403, F405
from offhook.commands.actions.assistants import *
from offhook.commands.actions.audio import *
from offhook.commands.actions.legs import *
from offhook.commands.actions.recordings import *
from offhook.commands.actions.streams import *
from offhook.commands.base import LegCommand

ACTIONS: tuple[type[LegCommand], ...] = (
    AddAIAssistantMessages,
    JoinAIAssistant,
    StartAIAssistant,
    StopAIAssistant,
    UpdateClientState,
    StartConversationRelay,
    StopConversationRelay,
    Enqueue,
    StartForking,
    StopForking,
    Gather,
    StopGather,
    GatherUsingAI,
    GatherUsingAudio,
    GatherUsingSpeak,
    LeaveQueue,
    Pay,
    StartPlayback,
    StopPlayback,
    PauseRecording,
    ResumeRecording,
    StartRecording,
    StopRecording,
    SendDtmf,
    StartSiprec,
    StopSiprec,
    Speak,
    StartStreaming,
    StopStreaming,
    StartNoiseSuppression,
    StopNoiseSuppression,
    SwitchSupervisorRole,
    StartTranscription,
    StopTranscription,
)
"""In the order of their operations' names."""
