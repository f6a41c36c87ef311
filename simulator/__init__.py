"""A carrier on a laptop: Telnyx Call Control over HTTP, its webhooks and its faults.

    app                composition root
    http/              the HTTP interface: the carrier's operations, and the simulator's controls
    exchange           performs commands, once for each command_id
    live_legs          the legs of all calls: applies changes, keeps timers, sends webhooks
    webhooks/          envelopes: the forms of a webhook on the wire
                       sender: posting, retries, failover, seeded duplicates, disorder and loss
    applications       Call Control Applications: where webhooks go, and how
    faults             which attempts of a command fail, by number
    journal            what survives the process: calls that were up, created applications
    ledger             the 60 s command_id rule
    effects            how often each command was performed
    random_ids         ids in the carrier's forms
    call/              the pure machine, from the top:
      machine            the leg state machine: commands and triggers in, changes out
      requested_events   any event, because a control asks for it
      handlers           which function handles which command
      leg_actions        reject, hangup, bridge, refer, …
      placing            new legs, and what starts when one is answered
      endings            ends and bridges
      features/          sounds, gathering, recording, detection, queues, media, assistants,
                         conferences: what can run on a leg
      transition         what a command or trigger has changed so far; where ids come from
      payloads           the fields that each webhook has
      changes            all that a command or trigger changes: values only
      triggers           what happens to a leg without a command: values only
      numbers            what a called number does: the magic numbers
      legs, activities   a leg, and what runs on it: values only
      timestamps         times as the carrier writes them
    errors/            every error of the carrier: status, code, title

The official documents and captures of real webhooks are the model; the official SDK is the judge.
There is no audio: texts, files, streams and recordings have their events and take their time, and
nothing else. Time is handed to the state machine, so a test can let hours pass at once
(`tests/simulator/calls.py`). An event that nothing here causes can be requested:
POST /simulator/calls/{call_control_id}/events.

    answered, without effect           why
    video rooms (refused)              there is nothing to see
    assistants, relays, payments       no party talks with them (`call.features.assistants`)
    noise suppression, sound changes   there is no audio
    `target_legs`, `mute_dtmf`, hold   they have no event
    supervisor roles                   they have no event
    `keep_after_hangup` of a queue     an ended leg is always dequeued
"""
