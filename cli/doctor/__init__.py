"""`offhook doctor`: check every part of the system, and report what is wrong and how to fix it."""
