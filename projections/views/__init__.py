"""The read model: each view with its table, its rows and its reads."""
