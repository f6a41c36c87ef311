"""The HTTP interface: the operations of the carrier, and the controls of the simulator."""
