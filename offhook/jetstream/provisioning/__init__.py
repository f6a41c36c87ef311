"""Streams and consumers made, compared, rewritten; servers that may not carry the log refused."""
