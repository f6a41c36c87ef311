"""What others read: the views, and what it takes to read them. Nothing here writes a view.

    sessions, legs, commands, queues    a view each: table, row, a folded session → rows, reads
    registry                            the views in one tuple, and every table
    stored/, past/                      the copy of the log; records and sessions as they were
    search/, live/, analytics/          lists of sessions, what is up now, key figures
    parked                              what waits for an operator
    checkpoint, projectors, waiting     how far the views are, who writes them, waiting for them
    database, silence, schema           the engine, a Postgres that is silent, migrations
    versions                            the live views, and those of a rebuild

What a view is made of is in view.py, a session with what the views add to it in fold.py.
"""
