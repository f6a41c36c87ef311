"""Key figures: of calls, groups of calls, commands, queues, webhooks and load."""
