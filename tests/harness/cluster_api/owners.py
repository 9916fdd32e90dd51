"""Who owns the fields of an object, and what the API server refuses with: `managedFields` before and after a write."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from cluster_api import fields

Object: TypeAlias = dict[str, Any]


class ApiError(Exception):
    """What the API server refuses, with HTTP's status and its own reason."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class Write:
    """Who writes, how, and whether only to try."""

    manager: str = "unknown"
    operation: str = "Update"
    dry_run: bool = False
    force: bool = False
    subresource: str = ""


def timestamp() -> str:
    """Return this moment as the API has it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def is_of(entry: Object, write: Write) -> bool:
    named = (entry["manager"], entry["operation"], entry.get("subresource", ""))
    return bool(named == (write.manager, write.operation, write.subresource))


def owned_by(live: Object, write: Write, *, other: bool) -> set[fields.Path]:
    """Return the fields of this writer, or of all others."""
    entries = [e for e in live["metadata"].get("managedFields", []) if is_of(e, write) is not other]
    return {path for entry in entries for path in fields.read(entry["fieldsV1"])}


def ancestors(paths: set[fields.Path]) -> set[fields.Path]:
    return {path[:length] for path in paths for length in range(1, len(path) + 1)}


def check_conflicts(live: Object, applied: Object, wanted: set[fields.Path], write: Write) -> None:
    there, sent = dict(fields.leaves(live)), dict(fields.leaves(applied))
    others = [e for e in live["metadata"].get("managedFields", []) if not is_of(e, write)]
    lines = [
        f'conflict with "{entry["manager"]}": {"".join("." + step[2:] for step in path)}'
        for entry in others
        for path in sorted(fields.read(entry["fieldsV1"]) & wanted)
        if there.get(path) != sent.get(path)
    ]
    if lines:
        count = f"{len(lines)} conflict{'s' if len(lines) > 1 else ''}"
        raise ApiError(409, "Conflict", f"Apply failed with {count}: {'; '.join(lines)}")


def owners_after(
    before: Object, after: Object, write: Write, applied: set[fields.Path] | None, rewritten: list[Object] | None
) -> list[Object]:
    """Return `managedFields` after a write: the writer has what it set, nobody else what got another value."""
    entries = before["metadata"].get("managedFields", [])
    if rewritten is not None and write.operation == "Update":
        entries = rewritten  # which a client may rewrite, as kubectl does when it takes over
    fresh, gone = fields.changed(before, after)
    if applied is not None:
        there, now = dict(fields.leaves(before)), dict(fields.leaves(after))
        taken = {path for path in applied if path in there and there[path] != now.get(path)}
    else:
        taken = fresh | gone
    made = []
    mine = set(applied) if applied is not None else fresh
    for entry in entries:
        owned = fields.read(entry["fieldsV1"])
        if is_of(entry, write):
            mine |= (owned - gone) if applied is None else set()
            continue
        if left := owned - taken - gone:
            made.append({**entry, "fieldsV1": fields.spelt(left)})
    if mine:
        made.append(_entry(write, after, mine))
    return made


def _entry(write: Write, item: Object, paths: set[fields.Path]) -> Object:
    made = {
        "manager": write.manager,
        "operation": write.operation,
        "apiVersion": item["apiVersion"],
        "time": timestamp(),
        "fieldsType": "FieldsV1",
        "fieldsV1": fields.spelt(paths),
    }
    return {**made, "subresource": write.subresource} if write.subresource else made
