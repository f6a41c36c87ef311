"""What a folded session depends on besides its records: the code that reads and folds them."""

import hashlib
from pathlib import Path

import msgspec

import offhook

FOLDED_BY = (
    "*.py",
    "carrier_events/*.py",
    "codec/*.py",
    "flow/*.py",
    "session/*.py",
    "workers/reading/snapshots.py",
    "workers/reading/state.py",
)
"""Below the package. The first has the facts, `codec` their bytes and the reading of webhooks."""


def fold_fingerprint(root: Path = Path(offhook.__file__).parent) -> str:
    """Different for any two versions that may fold, or store, a session differently.

    Empty if the source files are not there: then nothing can be said.
    """
    found = sorted({path for pattern in FOLDED_BY for path in root.glob(pattern)})
    if root / "session" / "fold.py" not in found:
        return ""
    digest = hashlib.sha256(msgspec.__version__.encode())
    for path in found:
        content = path.read_bytes()
        digest.update(f"\0{path.relative_to(root)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
