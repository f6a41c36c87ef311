"""What arrives: from a delivery to a session at work.

Files, from the top:

    subscriptions   what a worker subscribes to through FastStream
    dispatcher      one task for each session at work; what becomes of its deliveries
    handover        hands deliveries to the worker that holds their session
    consumer        the lingering pull requests that deliveries come from
    slots           how many sessions are at work at a time
    delivery        a delivery, and how it is acknowledged
"""
