"""Rendered YAML, read as Kubernetes objects that know the file and the line of each of their fields."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lmservice import kustomize
from lmservice.errors import MissingExtraError, UsageError
from lmservice.manifests.finding import Finding
from lmservice.manifests.objects import Object

if TYPE_CHECKING:
    import yaml

STDIN = "<stdin>"
_SUFFIXES = (".yaml", ".yml", ".json")
_GROUPS = ("", "apps", "autoscaling", "batch", "extensions", "policy")
"""The groups of Kubernetes' own API that have no dot."""


class Text(NamedTuple):
    """What a file holds, under the name that findings give it."""

    file: str
    content: bytes


def read(source: str) -> tuple[list[Object], list[Finding]]:
    """Read every object of a folder, a file, or standard input where `source` is `-`; and find what is not readable.

    A kustomization is rendered first. What is another program's is left alone.

    Raises:
        UsageError: there is nothing to read.
        MissingExtraError: PyYAML is not installed: the extra `lmservice[manifests]` brings it.
    """
    objects: list[Object] = []
    findings: list[Finding] = []
    for text in _texts(source):
        for parsed in _objects(text):
            (objects if isinstance(parsed, Object) else findings).append(parsed)  # type: ignore[arg-type]
    if not objects and not findings:
        raise UsageError(f"{source}: no Kubernetes object in it: give rendered manifests")
    return objects, findings


def _texts(source: str) -> list[Text]:
    if source == "-":
        if sys.stdin is None:
            raise UsageError("-: standard input is closed: pipe the rendered manifests in")
        return [Text(STDIN, sys.stdin.buffer.read())]
    path = Path(source)
    if _must_be_rendered(path):
        return [Text(f"{source} (rendered)", _rendered(path))]
    try:
        files = [path] if path.is_file() else sorted(_files(path))
        texts = [Text(str(file), file.read_bytes()) for file in files]
    except OSError as error:
        raise UsageError(f"{source}: cannot be read: {error.strerror}") from None
    if not texts:
        what = f"no {', '.join(_SUFFIXES)} file in it" if path.is_dir() else "there is no such folder or file"
        raise UsageError(f"{source}: {what}: give a folder of rendered manifests, or - for standard input")
    return texts


def _must_be_rendered(folder: Path) -> bool:
    if (folder / "Chart.yaml").is_file():  # only its owner knows its values
        raise UsageError(
            f"{folder} is a Helm chart: render it and pipe it in: "
            f"helm template {folder} | lmservice check MODULE:SERVICE --manifests -"
        )
    return kustomize.is_kustomization(folder)


def _rendered(folder: Path) -> bytes:
    try:
        return kustomize.render(folder)
    except kustomize.NoProgramError:
        raise UsageError(
            f"{folder} is a kustomization, and neither kubectl nor kustomize is on PATH: render it where one is: "
            f"kubectl kustomize {folder} | lmservice check MODULE:SERVICE --manifests -"
        ) from None
    except kustomize.RenderError as error:
        raise UsageError(str(error)) from None


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if _must_be_rendered(path):
            raise UsageError(f"{folder} holds a kustomization in {path}: name one of them, an overlay, by itself")
        if path.suffix in _SUFFIXES and path.is_file():
            yield path


def _objects(text: Text) -> Iterator[Object | Finding]:
    yaml = _yaml()
    try:
        decoded = text.content.decode()
    except UnicodeDecodeError as error:
        line = text.content.count(b"\n", 0, error.start) + 1
        yield _unreadable(text.file, line, "has bytes that are no UTF-8", "save the file as UTF-8")
        return
    try:
        loader = yaml.SafeLoader(_as_yaml(decoded))
    except yaml.reader.ReaderError as error:
        line = decoded.count("\n", 0, error.position) + 1
        yield _unreadable(text.file, line, f"has the character {error.character:#x}", "remove it")
        return
    yield from _documents(text.file, loader)


def _as_yaml(text: str) -> str:
    """Turn JSON into what YAML takes, on the same lines: without tabs, and parted where one object follows another."""
    rest, parts = text.lstrip("\ufeff"), []
    try:
        while stripped := rest.lstrip():
            begin = len(rest) - len(stripped)
            _, end = json.JSONDecoder().raw_decode(rest, begin)
            parts.append(f"{rest[:begin]}--- {rest[begin:end]}".replace("\t", " "))
            rest = rest[end:]
    except (ValueError, RecursionError):  # it is YAML, or broken
        return text
    return "".join(parts)


def _documents(file: str, loader: Any) -> Iterator[Object | Finding]:
    yaml = _yaml()
    try:
        while loader.check_node():
            yield from _object(file, loader, loader.get_node())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(part for part in (error.context, error.problem) if part)
        yield _unreadable(file, mark.line + 1 if mark else 1, problem, "mend it from there on")
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date that there is not, or no end of brackets
        line = loader.line + 1
        yield _unreadable(file, line, " ".join(str(error).split()), "mend it, or quote what is meant as text")
    finally:
        loader.dispose()


def _object(file: str, loader: Any, node: "yaml.Node | None") -> Iterator[Object | Finding]:
    content = loader.construct_document(node) if node is not None else None
    if content is None or _foreign(file, content, node):
        return
    if node is not None:
        yield from _doubled(file, node, set())
    yield from _named(file, content, node)


def _foreign(file: str, content: Any, node: Any) -> bool:
    """Return whether it is another program's, such as Skaffold's or kind's, which may lie beside manifests.

    A resource of anybody but Kubernetes itself has a group with a dot
    (https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/).
    """
    if not isinstance(content, dict) or Object(file, content, node).name:
        return False
    version = content.get("apiVersion")
    if not isinstance(version, str):
        return not content.keys() & {"apiVersion", "kind", "metadata"}
    group, _, _ = version.rpartition("/")
    if "." not in group:
        return group not in _GROUPS
    return "metadata" not in content and not group.endswith(".k8s.io")


def _named(file: str, content: Any, node: Any) -> Iterator[Object | Finding]:
    """Yield the object itself, or those that a `List` holds."""
    line = node.start_mark.line + 1
    kind = content.get("kind") if isinstance(content, dict) else None
    if not isinstance(kind, str) or not isinstance(content.get("apiVersion"), str):
        yield _unreadable(file, line, "is no Kubernetes object: kind or apiVersion is missing", "add both")
    elif kind.endswith("List") and isinstance(content.get("items"), list):
        nodes = next(value.value for key, value in node.value if key.value == "items")
        for item, inner in zip(content["items"], nodes, strict=True):
            yield from _named(file, item, inner)
    elif not Object(file, content, node).name:
        yield Object(file, content, node).finding(("metadata", "name"), "missing", "every object has one", "add it")
    else:
        yield Object(file, content, node)


def _doubled(file: str, node: Any, seen: set[int]) -> Iterator[Finding]:
    """Find keys that stand twice in one mapping, of which YAML keeps the last without a word."""
    if id(node) in seen or isinstance(node.value, str):
        return
    seen.add(id(node))
    keys: set[str] = set()
    for entry in node.value:
        key, value = entry if isinstance(entry, tuple) else (None, entry)
        if key is not None and isinstance(key.value, str):
            if key.value in keys and key.value != "<<":
                line = key.start_mark.line + 1
                yield _unreadable(file, line, f"{key.value} stands twice in one mapping", "remove one of the two")
            keys.add(key.value)
        yield from _doubled(file, value, seen)


def _unreadable(file: str, line: int, problem: str, fix: str) -> Finding:
    return Finding(file, line, "", "", problem, "it has to be readable as a manifest", fix)


def _yaml() -> Any:
    try:
        import yaml  # noqa: PLC0415 - comes with an extra
    except ImportError:
        raise MissingExtraError("reading manifests needs PyYAML: pip install 'lmservice[manifests]'") from None
    return yaml
