"""A rebuild: a new version of the views, folded from `event_log` beside the live one, then swapped.

    cold      worker processes: whole sessions up to a fixed position, into tables without indexes
    tail      the indexes; then what the projector has folded since, batch by batch
    parity    how the new version differs from the live one
    cutover   one short transaction: the projector held off, the last records, the tables swapped
    grace     triggers keep the version before up to date: a rollback is a swap back

    run ─▶ workers ─▶ cold ─┐
     ├───▶ tail ────────────┼─▶ folding      a session's records → its rows
     ├───▶ parity           ├─▶ build        the state of the build, kept in Postgres
     └───▶ cutover          └─▶ aside        the tables aside: indexes, grants, swap, mirror

`claim` has the lock of the one rebuild at work, `control` what others may ask of it,
`unreadable` the archived sessions that cannot be read.

`refold` makes the rows of chosen sessions anew in the live version, without any of this.

Each step commits its rows and its progress in one transaction: killed anywhere, it is continued.
"""
