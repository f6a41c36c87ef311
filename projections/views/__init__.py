"""What others read: the views, and what it takes to read them. Nothing here writes a view.

    sessions, legs, commands    a view each: its table, its row, a folded session → rows, its reads
    registry                    the views in one tuple, and every table
    event_log, history          the copy of the log; a session's records, and what it was after one
    parked, checkpoint          what waits for an operator; how far the views have come
    analytics/                  calls in numbers
    database, schema, waiting   the engine, migrations, waiting for a position

What a view is made of is in view.py, a session with what the views add to it in fold.py.
"""
