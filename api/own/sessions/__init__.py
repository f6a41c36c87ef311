"""Sessions: found, exported, as they were, their records, those that are parked."""
