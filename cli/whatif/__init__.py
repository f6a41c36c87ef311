"""`offhook whatif`: recorded sessions through another flow, and how its decisions differ."""
