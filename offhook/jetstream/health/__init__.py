"""Whether the log takes writes: from what servers say, and what came of this process's appends."""
