"""Generates `api/telnyx/descriptions.json`: what each command's parameters are, for /docs.

    {"queue_name": "…", "playback_start.loop": "…"}

A parameter described alike wherever it occurs is listed by its name alone; with another text it is
listed by operation and name. The texts are those of the official SDK, and MORE where it has none.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from scripts.sdk import SdkOperation, descriptions_of

MORE: Mapping[str, str] = {
    "bridge.call_control_id": "The other leg.",
    "dialogflow_config": "Settings of the Dialogflow agent; used with `enable_dialogflow`.",
    "participant": "The leg that joins, and its role.",
    "transcription_config": "Settings of the transcription; used with `transcription`.",
}


def contents(operations: Iterable[SdkOperation]) -> str:
    """The whole file."""
    texts: dict[str, dict[str, str]] = defaultdict(dict)
    for operation in operations:
        for name, text in descriptions_of(operation.parameters).items():
            texts[name.rstrip("_")][operation.name] = text  # from_ is a keyword with an underscore
    found = dict(MORE)
    for name, by_operation in texts.items():
        (usual, _), *_ = Counter(by_operation.values()).most_common(1)
        found[name] = usual
        found |= {
            f"{operation}.{name}": text for operation, text in by_operation.items() if text != usual
        }
    return json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
