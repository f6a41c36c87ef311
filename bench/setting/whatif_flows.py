"""The flows of `bench.whatif` by name, as the command loads them."""

from bench.setting.whatif_calls import FLOWS

same, changed = FLOWS["same"], FLOWS["changed"]
