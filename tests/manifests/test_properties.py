"""What holds for every manifest: it is read as it was written, as YAML and as JSON, on the lines where it stands."""

import json
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmservice.manifests.documents import read
from lmservice.manifests.objects import Object

# YAML's own printable characters; a line end of any other kind would be folded by the writer, not by the reader
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0xD7FF, blacklist_characters="\x7f\x85\u2028\u2029"))
PLAIN = TEXT.filter(lambda text: not any("\x80" <= character <= "\x9f" for character in text))
KEYS = PLAIN.filter("<<".__ne__)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(
    st.fixed_dictionaries(
        {
            "apiVersion": st.just("v1"),
            "kind": st.sampled_from(["ConfigMap", "Service", "Pod"]),
            "metadata": st.fixed_dictionaries({"name": st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)}),
            "spec": VALUES,
        }
    ),
    min_size=1,
    max_size=3,
)
SETTINGS = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def read_text(tmp_path: Path, text: str) -> list[Object]:
    (tmp_path / "rendered.yaml").write_text(text, newline="")
    objects, findings = read(str(tmp_path))
    assert findings == []
    return objects


@given(OBJECTS)
@SETTINGS
def test_what_is_written_as_yaml_is_read_as_it_was_on_its_own_line(tmp_path: Path, objects: list[Any]) -> None:
    text = yaml.safe_dump_all(objects, sort_keys=False, allow_unicode=True)
    manifests = read_text(tmp_path, text)
    assert [manifest.content for manifest in manifests] == objects
    for manifest in manifests:
        line = manifest.finding(("kind",), manifest.kind, "", "").line
        assert text.split("\n")[line - 1] == f"kind: {manifest.kind}"


@given(OBJECTS, st.sampled_from([None, 2, "\t"]))
@SETTINGS
def test_what_is_written_as_json_is_read_as_it_was(tmp_path: Path, objects: list[Any], indent: Any) -> None:
    text = "\n".join(json.dumps(manifest, indent=indent, ensure_ascii=False) for manifest in objects)
    assert [manifest.content for manifest in read_text(tmp_path, text)] == objects
