"""Load: calls at once, calls per second, busy hours."""
