"""Golden files: texts as people read them, in tests/golden.

`UPDATE_GOLDEN=1 python -m pytest tests -k golden` writes them anew; look at the difference before
committing it.
"""

import os
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "golden"


def check_golden(name: str, text: str) -> None:
    """Assert that `text`, which ends with a line break, is what the file `name` holds."""
    path = FOLDER / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
