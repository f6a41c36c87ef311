"""Reads of what was: records, timelines, sessions and lists as of a moment; archived ones too."""
