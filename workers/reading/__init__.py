"""What a worker knows of sessions, and how it reads the rest.

Files, from the top:

    cache           reads sessions, and keeps those used last
    silence         what a session has after a long silence, without a search through the log
    snapshots       stores how far a long session is folded, and reads it
    state           a session as the worker knows it, with its positions
    resting         which sessions rest: they are read to their end, and long ones stored
    precedence      which session goes first: one with little to do before one with much
    fingerprint     which code folds
"""
