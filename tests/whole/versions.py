"""The demo's flow in two versions, as before and after a release."""

import dataclasses

from offhook.cli.demo.flow import demo

before = dataclasses.replace(demo, version="1")
after = dataclasses.replace(demo, version="2")
