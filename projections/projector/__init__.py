"""The projector: takes records from the log, folds them into the views, batch by batch.

    project ─▶ deliveries ─▶ batch ─▶ bulk          the running projector
                               └────▶ checkpoint    its position, moved in the batch's transaction
    rebuild ─▶ the same, into tables aside ─▶ repair    compare, and replace what differs

`offhook.projections.app` starts it; `offhook.projections.maintenance` is for operators.
"""
