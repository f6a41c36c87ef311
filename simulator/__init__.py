"""A carrier on a laptop: Telnyx Call Control over HTTP, its webhooks and its faults.

    numbers       what a called number does: the magic numbers
    legs          a leg, and what one step of a call changes: values only
    behaviour     the leg state machine: commands and happenings in, steps out
    turn          what one step has changed so far
    payloads      the fields that each webhook carries
    refusals      every "no" in the carrier's words: status, code, title
    ledger        the 60 s command_id rule, and the count of effects
    applications  the application of a call: where its webhooks go, and how
    envelopes     a webhook on the wire, in each of its forms
    delivery      posting, retries, failover, and seeded duplicates, disorder and loss
    lookback      call events and webhook deliveries, afterwards
    exchange      the calls that are up: applies steps, keeps the timers
    answers       a leg in JSON
    paging        pages of what is listed, in both pagination forms
    carrier       the HTTP face
    app           the composition root

The official documents and captures of real webhooks are the model; the official SDK is the judge.
Nobody talks here: audio, recordings, streams, queues and conferences are accepted and not acted on.
"""
