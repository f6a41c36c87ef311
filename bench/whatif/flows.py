"""The flows of `bench.whatif` by name, as the command loads them."""

from bench.whatif.calls import FLOWS

same, changed = FLOWS["same"], FLOWS["changed"]
