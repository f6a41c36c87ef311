"""The demo's flow in two versions, as before and after a release."""

import dataclasses

from cli.reception import reception

before = dataclasses.replace(reception, version="1")
after = dataclasses.replace(reception, version="2")
