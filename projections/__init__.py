"""The log in Postgres: the projector folds it, and the views are what others read.

    views/            each view with its table, its rows and its reads; database, migrations
    projector/        takes records from the log and writes the views, batch by batch; rebuild
    app.py            the role `offhook projector`
    maintenance.py    rebuilding, and folding a parked session again, when an operator asks

SQL is written here and nowhere else.
"""
