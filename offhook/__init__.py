"""Offhook: phone calls on Telnyx Call Control as event-sourced sessions."""
