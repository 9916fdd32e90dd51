import subprocess
import sys
from pathlib import Path

SERVICE = "{{ cookiecutter.__package }}:service"
ROOT = Path(__file__).parents[1]


def test_the_example_of_settings_is_in_step_with_them() -> None:
    command = [sys.executable, "-m", "lmservice", "config", SERVICE, "--format", "env"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert (ROOT / ".env.example").read_text() == ran.stdout, "run `make env`"
