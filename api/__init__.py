"""The HTTP face for your applications: Telnyx-compatible calls, sessions, commands."""
