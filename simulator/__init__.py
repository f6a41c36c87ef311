"""A carrier on a laptop: Telnyx Call Control over HTTP, its webhooks and its faults.

    app                the composition root
    http/              the HTTP interface: carrier, paging
    exchange           the calls that are up: applies steps, keeps the timers
    lookback           call events and webhook deliveries, afterwards
    webhooks/          envelopes: a webhook on the wire, in each of its forms
                       delivery: posting, retries, failover, seeded duplicates, disorder and loss
    applications       the application of a call: where its webhooks go, and how
    faults             which tries of a command fail, by number
    journal            what outlives the process: calls that were up, and created applications
    ledger             the 60 s command_id rule, and the count of effects
    call/              the pure machine, from the top:
      machine            the leg state machine: commands and happenings in, steps out
      requested_events   any event of the carrier's, because a control asks for it
      placing            new legs, and what begins when one is answered
      endings            ends and bridges
      features/          sounds, gathering, recording, detection, queues, media, assistants,
                         conferences: what may go on on a leg, a family of operations each
      transition         what one step has changed so far
      payloads           the fields that each webhook carries
      steps              what time brings, and what one step of a call changes: values only
      numbers            what a called number does: the magic numbers
      answers            a leg in JSON
      legs               a leg, and `activities`, what goes on on it: values only
    errors/            every error of the carrier: status, code, title

The official documents and captures of real webhooks are the model; the official SDK is the judge.
There is no audio: what is said, played, streamed and recorded is told, and takes its time. Time is
handed to the state machine, so a test can let hours pass at once (`tests/simulator/calls.py`).
Events that nothing here causes can be asked for: POST /simulator/calls/{call_control_id}/events.

    answered, not acted out            why
    video rooms (refused)              nothing here would be seen
    assistants, relays, payments       nobody talks with them (`assistants`)
    noise suppression, sound changes   there is no audio
    `target_legs`, `mute_dtmf`, hold   no event tells of them
    supervisor roles                   no event tells of them
    `keep_after_hangup` of a queue     an ended leg is always dequeued
"""
