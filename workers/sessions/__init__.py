"""One session: leased, decided on, settled.

Files, from the top:

    settle          the loop: what is to be done next for a session
    execute         executes decided commands: takes the steps that `sending/attempt.py` names
    decide          decides on a record, and appends the decision
    timers          schedules and fires the timers of a session
    flows           which flow decides, and what it says, within bounds
    lease           this worker's lease: every append, and how long the lease lasts
    flow_loading    finds the user's flows
    flow_errors     what is logged of a flow that raised
    parked_policy   what becomes of a parked session's calls
"""
