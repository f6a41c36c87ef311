"""Settles sessions: decides on their events and sends the commands, on any number of machines.

Imports point one way, down this list:

    app         the role `offhook worker`
    intake/     what arrives: from a delivery to a session at work
    sessions/   one session: leased, decided on, settled
    reading/    what is known of sessions, and how the rest is read
    sending/    one command: when it may be sent, and what comes of it
    metrics     what is counted
    asyncapi/   describes the event log
"""
