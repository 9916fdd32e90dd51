"""A finding: what disagrees, where it stands, both values, and what mends it."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One disagreement between manifests and a service.

    Attributes:
        file: where it stands; `<stdin>` for what was read from there.
        line: of the file, or of the YAML that kustomize rendered from it; counted from 1.
        object: kind and name, as `Deployment shop`; '' where the file itself cannot be read.
        field: the path of the field, as `spec.template.spec.terminationGracePeriodSeconds`.
        found: what the manifest says.
        expected: what it has to agree with.
        fix: what to do about it.
    """

    file: str
    line: int
    object: str
    field: str
    found: str
    expected: str
    fix: str

    def __str__(self) -> str:
        where = ": ".join(part for part in (f"{self.file}:{self.line}", self.object) if part)
        field = f"{self.field} is " if self.field else ""
        return f"{where}: {field}{self.found}, but {self.expected}: {self.fix}"

    def report(self) -> dict[str, Any]:
        """Return the same for a program."""
        return asdict(self)
