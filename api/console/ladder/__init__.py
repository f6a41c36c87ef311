"""The ladder of a session: its records drawn between its legs. Pure.

Everything is made from the public API's JSON of a session and its timeline.

    drawing     columns, rows and bands, each with its place
    lines       what a record is in the ladder
"""
