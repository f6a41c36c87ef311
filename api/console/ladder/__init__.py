"""A session as the Session page shows it: a sentence, a drawing, and a test of its flow. Pure.

Everything is made from the public API's JSON of a session and its timeline.

    why         why the call ended or failed, in words
    causes      what the carrier's hangup causes and SIP codes mean
    drawing     the ladder: columns, rows and bands, each with its place
    lines       what a record is in the ladder
    moments     times and spans as they are written there
"""
