"""Orders out: settle one session at a time, on as many machines as you like."""
