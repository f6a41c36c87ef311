"""The projector: folds the log into the views, batch by batch."""
