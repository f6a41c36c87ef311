"""`offhook demo`: calls through everything, with live numbers and a verdict at the end."""
