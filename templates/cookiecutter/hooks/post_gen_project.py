"""Takes away what the chosen options do without."""

import shutil
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
