"""The commands that work on history: records of the past, in the log's copy or in files."""
