"""The command `offhook asyncapi`."""

import json


def asyncapi() -> None:
    """Print the AsyncAPI document of the log: its subjects, records and fields."""
    from offhook.workers.asyncapi.document import document

    print(json.dumps(document(), indent=1, sort_keys=True))  # noqa: T201, rich would wrap it
