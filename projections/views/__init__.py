"""What others read: the views, and what it takes to read them. Nothing here writes a view.

    stored/                             the copy of the log, and what of it was archived or erased
      ↓ fold, view                      a session folded; what a view is made of
    sessions, legs, commands, queues    a view each: table, row, a folded session → rows, reads
      ↓ registry                        the views in one tuple, and every table
    search/, live/, past/, analytics/   lists of sessions, what is up now, what was, key figures
    parked                              sessions that wait for an operator

    progress/                           how far the views are, who writes them, waiting for them
    schema/                             migrations; the live version of the views and the one aside
    database/                           the engine, transactions, errors, a Postgres that is silent

What a view is made of is in view.py, a session with what the views add to it in fold.py.
"""
