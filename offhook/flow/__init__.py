"""A flow, and what it decides. Pure.

a flow, and which calls it gets         flow.py
what it returned, as it is stored       decision.py
two decisions on one record, compared   whatif.py
a dataclass as `client_state`           typed_client_state.py
"""

from offhook.flow.flow import API_FLOW as API_FLOW
from offhook.flow.flow import ARCHIVED as ARCHIVED
from offhook.flow.flow import NO_FLOW as NO_FLOW
from offhook.flow.flow import PARKED as PARKED
from offhook.flow.flow import UNWANTED as UNWANTED
from offhook.flow.flow import WITHOUT_FLOW as WITHOUT_FLOW
from offhook.flow.flow import Decide as Decide
from offhook.flow.flow import Flow as Flow
from offhook.flow.flow import Order as Order
from offhook.flow.flow import addressed as addressed
from offhook.flow.flow import command_id_for as command_id_for
from offhook.flow.flow import flow_for as flow_for
from offhook.flow.flow import unmatched as unmatched
