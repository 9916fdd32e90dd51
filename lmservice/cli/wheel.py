"""The wheel of the lmservice that runs: a new service takes it along until its index has lmservice.

It is made anew from what is installed, as an installer keeps no wheel: the package, the template and the metadata, in
the form of the binary distribution format (https://packaging.python.org/specifications/binary-distribution-format/).
"""

import base64
import hashlib
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from lmservice.cli import template
from lmservice.version import __version__

_NAME = f"lmservice-{__version__}-py3-none-any.whl"
_INFO = f"lmservice-{__version__}.dist-info"
_WHEEL = "Wheel-Version: 1.0\nGenerator: lmservice\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of each file in it, so that the same lmservice makes the same wheel."""


def put_into(folder: Path) -> Path | None:
    """Write the wheel into an existing folder and return its path; None where lmservice was never installed.

    Raises:
        OSError: it cannot be written.
    """
    try:
        distribution = metadata.distribution("lmservice")
    except metadata.PackageNotFoundError:  # on PYTHONPATH alone
        return None
    record = ""
    path = folder / _NAME
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _files(distribution):
            _add(archive, name, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record += f"{name},sha256={digest},{len(content)}\n"
        _add(archive, f"{_INFO}/RECORD", f"{record}{_INFO}/RECORD,,\n".encode())
    return path


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o100644 << 16
    archive.writestr(entry, content)


def _files(distribution: metadata.Distribution) -> Iterator[tuple[str, bytes]]:
    package, made_from = Path(__file__).parents[1], template.place()
    yield from _below(package, "lmservice", apart_from=made_from)
    yield from _below(made_from, "lmservice/templates/cookiecutter")
    description = distribution.read_text("METADATA") or ""
    # An editable installation tells the version of the day on which it was made.
    description = description.replace(f"\nVersion: {distribution.version}\n", f"\nVersion: {__version__}\n", 1)
    yield f"{_INFO}/METADATA", description.encode()
    yield f"{_INFO}/WHEEL", _WHEEL.encode()
    yield f"{_INFO}/entry_points.txt", (distribution.read_text("entry_points.txt") or "").encode()
    if license_text := distribution.read_text("licenses/LICENSE"):
        yield f"{_INFO}/licenses/LICENSE", license_text.encode()


def _below(folder: Path, prefix: str, apart_from: Path | None = None) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        inside = apart_from is not None and path.is_relative_to(apart_from)
        if path.is_file() and path.suffix != ".pyc" and not inside:
            yield f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes()
