"""Other paths of the carrier's HTTP interface, below its base address (`…/v2`)."""

from offhook.commands.paths import segment

APPLICATIONS = "/call_control_applications"


def active_calls_path(connection_id: str) -> str:
    """The active calls of a connection. Raises ParameterInvalid."""
    return (
        f"/connections/{segment('list_active_calls', 'connection_id', connection_id)}/active_calls"
    )


def application_path(application_id: str) -> str:
    """A Call Control Application. Raises ParameterInvalid."""
    return f"{APPLICATIONS}/{segment('call_control_application', 'id', application_id)}"
