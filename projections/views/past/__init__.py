"""Reads of what was, archived records too.

    timeline, session_log        the records of a session: all that concern it, and its own
    session_as_of, lists_as_of   a session, and lists of sessions, as of a moment
    changes                      what came into the views after a position
    selected_records, decided    records of many sessions as a stream, and what a flow is tried on
    archived_records, positions  records of archived sessions; the time of a position

A moment is a position or a time by the log's clock.
"""
