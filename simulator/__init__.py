"""A carrier on a laptop: Telnyx Call Control over HTTP, its webhooks and its faults.

    numbers       what a called number does: the magic numbers
    legs          a leg, and `activities`, what goes on on it: values only
    steps         what time brings, and what one step of a call changes: values only
    behaviour     the leg state machine: commands and happenings in, steps out
    placing       new legs, and what begins when one is answered
    endings       ends and bridges
    sounds, gathering, recording, detection, queues, media, assistants, conferences
                  what may go on on a leg, a family of operations each
    on_request    any event of the carrier's, told because a control asks for it
    turn          what one step has changed so far
    payloads      the fields that each webhook carries
    refusals      every "no" in the carrier's words: status, code, title
    troubles      which tries fail, by number
    ledger        the 60 s command_id rule, and the count of effects
    applications  the application of a call: where its webhooks go, and how
    envelopes     a webhook on the wire, in each of its forms
    delivery      posting, retries, failover, and seeded duplicates, disorder and loss
    lookback      call events and webhook deliveries, afterwards
    journal       what outlives the process: calls that were up, and created applications
    exchange      the calls that are up: applies steps, keeps the timers
    answers       a leg in JSON
    paging        pages of what is listed, in both pagination forms
    carrier       the HTTP face
    app           the composition root

The official documents and captures of real webhooks are the model; the official SDK is the judge.
There is no audio: what is said, played, streamed and recorded is told, and takes its time. Time is
handed to the state machine, so a test can let hours pass at once (`tests/simulator/calls.py`).
Events that nothing here causes can be asked for: POST /simulator/calls/{call_control_id}/events.

    answered, not acted out            why
    video rooms (refused)              nothing here would be seen
    assistants, relays, payments       nobody talks with them (`offhook.simulator.assistants`)
    noise suppression, sound changes   there is no audio
    `target_legs`, `mute_dtmf`, hold   no event tells of them
    supervisor roles                   no event tells of them
    `keep_after_hangup` of a queue     an ended leg is always dequeued
"""
