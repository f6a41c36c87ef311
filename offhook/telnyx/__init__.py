"""The carrier: how Telnyx Call Control looks over HTTP."""
