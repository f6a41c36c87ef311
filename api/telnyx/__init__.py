"""The Telnyx-compatible part under /v2: the official SDK works unchanged."""
