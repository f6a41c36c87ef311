"""Webhooks: their form on the wire, and their delivery."""
