"""One connection to NATS: its settings, its reply inbox, FastStream's broker on it."""
