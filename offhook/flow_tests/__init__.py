"""A recorded session as a test of its flow, in the style of `offhook.testing`. Pure.

flow_test   the whole file, from a session's records
copied      what happened and what was decided, as `given` takes it
code        values as Python code
"""
