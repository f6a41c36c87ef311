"""The servers and every role as child processes of one command: `offhook up` and `offhook demo`."""
