"""What is public is what tests/interface.txt says: a change of it is a decision, seen in review."""

import difflib
import os
from pathlib import Path

import interface

SNAPSHOT = Path(__file__).with_name("interface.txt")
UPDATE = "LMSERVICE_UPDATE_INTERFACE"


def test_the_public_face_is_as_written_down() -> None:
    now = interface.render()
    if os.environ.get(UPDATE):
        SNAPSHOT.write_text(now)
    before = SNAPSHOT.read_text()
    changes = difflib.unified_diff(before.splitlines(), now.splitlines(), "written down", "as it is", lineterm="", n=0)
    advice = f"if that is meant, write it down by `{UPDATE}=1 ./dev run pytest tests/test_interface.py`"
    policy = "and in CHANGELOG.md; CONTRIBUTING.md says what a release may take away"
    assert now == before, "\n".join(["the public face has changed:", *changes, advice, policy])
