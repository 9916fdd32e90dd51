#!/bin/sh
# pydantic_core.to_json, given a generator among the values (a log event, a cache key), writes its items as a list and
# leaves it empty: whoever made it finds nothing afterwards. `fallback=` is not asked, as a generator is a type that
# to_json knows; json.dumps raises TypeError, orjson too.
#
# Seen with pydantic_core 2.50.5:
#   to_json: {"rows":[1,2,3]}; what is left of the generator: []
set -eu
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pydantic
cat >"$folder/program.py" <<'PROGRAM'
import sys

from pydantic_core import __version__, to_json

rows = (number for number in (1, 2, 3))
text = to_json({"rows": rows}, fallback=repr).decode()
left = list(rows)
print(f"pydantic_core {__version__}: to_json: {text}; what is left of the generator: {left}")
sys.exit(0 if text == '{"rows":[1,2,3]}' and left == [] else 1)
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
