"""Takes away what the chosen options do without, and keeps the rest as it was made, for `lmservice new --update`."""

import gzip
import io
import shutil
import tarfile
from pathlib import Path

PACKAGE = Path("{{ cookiecutter.__package }}")
STORE = (PACKAGE / "migrations", PACKAGE / "notes.py", PACKAGE / "store.py", Path("tests/test_notes.py"))
CLIENT = (PACKAGE / "prices.py", PACKAGE / "supplier.py", Path("tests/test_prices.py"))


def remove(path: Path) -> None:
    """Removes a file or a folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


LEFT_OUT = {"database none": STORE, "client False": CLIENT}


def left_out(*choices: str) -> list[Path]:
    """What a service of these choices does without."""
    return [path for choice in choices for path in LEFT_OUT.get(choice, ())]


for path in left_out("database {{ cookiecutter.database }}", "client {{ cookiecutter.client }}"):
    remove(path)


AS_MADE = Path(".lmservice/as-made.tar.gz")


def keep() -> None:
    """Writes all files into the archive, the same for the same files."""
    AS_MADE.parent.mkdir()
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for path in sorted(path for path in Path().rglob("*") if path.is_file()):
            entry = tarfile.TarInfo(path.as_posix())
            entry.size, entry.mode = path.stat().st_size, 0o755 if path.stat().st_mode & 0o100 else 0o644
            archive.addfile(entry, io.BytesIO(path.read_bytes()))
    AS_MADE.write_bytes(gzip.compress(held.getvalue(), mtime=0))


keep()
