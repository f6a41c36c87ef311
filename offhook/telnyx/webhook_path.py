"""The path of the carrier's webhooks."""

WEBHOOK_PATH = "/webhooks/telnyx"
"""Where ingress takes the carrier's webhooks: the end of every webhook URL that leads to it."""
