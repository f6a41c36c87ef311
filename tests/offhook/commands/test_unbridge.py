"""The choice of what becomes of a leg after its bridge, as the carrier is told."""

from offhook.commands import Bridge, Dial, Transfer
from offhook.commands.catalog import parameters_of
from offhook.commands.unbridge import hung_up_after_unbridge, kept_after_unbridge

DIAL = Dial(to="+12025550123", from_="+12025550100", connection_id="1", link_to="v3:a")
TRANSFER = Transfer(to="+12025550123")
BRIDGE = Bridge(call_control_id_to_bridge_with="v3:b")


def test_a_leg_that_is_kept_parks_itself() -> None:
    for command in (
        kept_after_unbridge(DIAL),
        kept_after_unbridge(TRANSFER),
        kept_after_unbridge(BRIDGE),
    ):
        assert parameters_of(command)["park_after_unbridge"] == "self"


def test_hanging_up_is_the_carriers_default() -> None:
    assert hung_up_after_unbridge(DIAL) == DIAL
    assert hung_up_after_unbridge(kept_after_unbridge(TRANSFER)) == TRANSFER
    held = Bridge(call_control_id_to_bridge_with="v3:b", hold_after_unbridge=True)
    assert hung_up_after_unbridge(held) == BRIDGE
