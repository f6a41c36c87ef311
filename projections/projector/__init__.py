"""The projector: takes records from the log, folds them into the views, batch by batch.

    leases ─▶ project ─▶ deliveries    records of the partitions that it holds, in order
                 │
                 ├─▶ batch ─▶ statements    copy into event_log ─┐ one
                 │     ├────▶ folding ─▶ special_sessions        │ transaction
                 │     └────▶ writing ─▶ checkpoint              ┘ views and positions, or neither
                 └─▶ progress ◀─ lag    what it has done, and what the views lack

`offhook.projections.app` starts it; `offhook.projections.maintenance` is for operators.
"""
