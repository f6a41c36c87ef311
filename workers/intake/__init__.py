"""From a delivery to a session at work: consumers, the dispatcher, slots, other workers."""
