"""The projector: folds the log into Postgres, and the queries that read what it wrote."""
