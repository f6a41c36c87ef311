"""A session of the API in words, for the console and the command line. Pure.

why          why a call ended or failed, a sentence for each thing
causes       what the carrier's hangup causes and SIP codes mean
commands     what a command is about
found_row    a session in a list
moments      times
durations    how long something took
"""
