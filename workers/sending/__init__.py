"""One command: when it may be sent, and what comes of it.

Files, from the top:

    attempt             what to do next with a command on its way: the rules, pure
    permits             a command's request for a permit to send
    queue               which command is sent next
    fairness            which kind of command goes next
    fleet               the rate limits of all workers together
    rate_limits         how many commands this worker may send now
    rates               a shared limit: a worker's part, and the places taken in it
    urgency             which kinds of commands go first
    carrier_readiness   what the carrier's answers say about readiness
"""
