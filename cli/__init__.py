"""The command `offhook`: every role, the embedded servers, the demo."""
