"""Verifies webhooks, appends them to the log and answers. Holds no state.

Its files:

    app         the role `offhook ingress`
    webhook     the endpoint: every case and its answer
    body        reads a body within bounds
    identity    the session and id of a webhook
    pacing      how many webhooks are handled in one iteration of the event loop
    metrics     what is counted
"""
