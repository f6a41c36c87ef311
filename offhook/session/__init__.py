"""The session: what a call's records add up to. Pure, and used unchanged wherever calls are read.

the session, its commands and its lease    session.py, changed by fold.py
a leg                                      leg.py, changed by leg_fold.py
conferences and recordings                 conference.py
timers                                     timers.py
the leg that a dial placed                 placed.py
the leg that nobody wants any more         unwanted.py, inserted.py
a session as bytes, and back               stored.py
"""

from offhook.session.conference import Conference as Conference
from offhook.session.conference import Recording as Recording
from offhook.session.fold import evolve as evolve
from offhook.session.fold import fold as fold
from offhook.session.fold import touched_by as touched_by
from offhook.session.leg import Leg as Leg
from offhook.session.session import CommandState as CommandState
from offhook.session.session import Lease as Lease
from offhook.session.session import Session as Session
from offhook.session.timers import CancelTimer as CancelTimer
from offhook.session.timers import SetTimer as SetTimer
from offhook.session.timers import TimerState as TimerState
