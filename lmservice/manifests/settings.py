"""The rules for the environment: the service's settings can be read from the container's."""

from collections.abc import Iterator
from difflib import get_close_matches

from lmservice.errors import SettingsError
from lmservice.manifests.finding import Finding
from lmservice.manifests.objects import Object, dig, mapping
from lmservice.manifests.variables import Variable
from lmservice.manifests.workload import Workload
from lmservice.settings.default_secrets import guessable, matters
from lmservice.settings.masking import masked, secret_name
from lmservice.settings.variables import PREFIX, fields_by_variable, misspelt, variable, variables

_REFERENCES = ("configMapRef", "configMapKeyRef")


def judge(workload: Workload) -> Iterator[Finding]:
    """Find names that no setting reads, values that none takes, secrets in the open, references to nothing."""
    given = [each for each in workload.variables.all if each.name.upper().startswith(PREFIX)]
    nearest = misspelt(workload.settings_class, {each.name for each in given})
    for each in given:
        if each.name in nearest:
            yield _unknown(each, nearest[each.name])
        else:
            yield from _secrets_in_the_open(workload, each)
    for each in workload.variables.all:
        yield from _not_text(each)
    yield from _twice(workload)
    yield from _values(workload)
    yield from _environment(workload)
    yield from _references(workload)
    yield from _unread_maps(workload)
    yield from _service_links(workload)


def _unknown(each: Variable, nearest: str) -> Finding:
    fix = f"did you mean {nearest}?" if nearest else "remove it, or declare it in the service's Settings"
    return each.object.finding(each.path, each.name, "no setting of the service reads it", fix)


def _not_text(each: Variable) -> Iterator[Finding]:
    if each.value is not None and not isinstance(each.value, str):
        kind = {bool: "a boolean", int: "a number", float: "a number"}.get(type(each.value), "no text")
        fix = f'quote it: {each.name}: "…"'
        yield each.object.finding(each.path, kind, "the API server takes nothing but text there", fix)


def _secrets_in_the_open(workload: Workload, each: Variable) -> Iterator[Finding]:
    inner = fields_by_variable(workload.settings_class).get(each.name.upper())
    if inner is None or not isinstance(each.value, str) or not each.value:
        return
    if secret_name(inner.name) or "Secret" in str(inner.field.annotation):
        found = masked(inner.name, each.value, inner.field.annotation)
        fix = f"keep it in a Secret, and let {each.name} come from there by secretKeyRef"
        yield each.object.finding(each.path, found, f"{each.name} is a secret", fix)


def _twice(workload: Workload) -> Iterator[Finding]:
    seen: set[str] = set()
    for path, entry in workload.object.entries(*workload.container, "env"):
        name = str(entry.get("name"))
        if name in seen:
            fix = "remove one of the two"
            yield workload.object.finding(path, name, "env has it already, and only the last one counts", fix)
        seen.add(name)


def _values(workload: Workload) -> Iterator[Finding]:
    """Find what the service itself would refuse at its start."""
    try:
        workload.settings_class.load_from({**workload.outside, **workload.variables.known})
    except SettingsError as error:
        for problem in error.problems:
            yield from _problem(workload, problem)
    if matters(workload.settings) and workload.variables.complete:  # else files of a Secret may set them
        yield from _default_secrets(workload)


def _default_secrets(workload: Workload) -> Iterator[Finding]:
    cls = workload.settings_class
    given = {name.upper() for name in (*workload.variables.by_name, *workload.outside)}
    for name in guessable(cls):
        if given.isdisjoint(variables(cls, name)):
            said = variable(cls, name)
            fix = f"let {said} come from a Secret by secretKeyRef, or set LM_ALLOW_DEFAULT_SECRETS"
            yield workload.finding(("env",), f"without {said}", "its default can be read in the code", fix)


def _problem(workload: Workload, problem: str) -> Iterator[Finding]:
    name, colon, said = problem.partition(":")
    name = name.partition("[")[0] if colon else ""
    given = next((each for key, each in workload.variables.by_name.items() if key.upper() == name), None)
    if given is None:
        if workload.variables.complete or not _is_missing(workload, name, said):
            yield workload.finding(("env",), problem, "the service would not start with it", "mend or set it")
    elif given.value is not None:
        fix = "set a value that it takes"
        yield given.object.finding(given.path, f"{name}: {said.strip()}", "the service would not start with it", fix)


def _is_missing(workload: Workload, name: str, said: str) -> bool:
    return name in fields_by_variable(workload.settings_class) and said.startswith(" is required")


def _environment(workload: Workload) -> Iterator[Finding]:
    name = f"{PREFIX}ENVIRONMENT"
    if name not in {key.upper() for key in (*workload.variables.by_name, *workload.outside)} and (
        workload.variables.complete
    ):
        default = workload.settings.environment
        expected = f"the default is {default}" + (
            ", in which a stop skips the drain's delay" if default == "dev" else ""
        )
        yield workload.finding(("env",), f"without {name}", expected, f"set {name} to the overlay's environment")


def _references(workload: Workload) -> Iterator[Finding]:
    """A ConfigMap that was meant is most likely one that was rendered; one of another name may be anybody's."""
    for path, entry in workload.object.entries(*workload.container, "envFrom"):
        yield from _reference(workload, (*path, "configMapRef"), entry, "configMapRef")
    for path, entry in workload.object.entries(*workload.container, "env"):
        source = mapping(entry.get("valueFrom"))
        yield from _reference(workload, (*path, "valueFrom", "configMapKeyRef"), source, "configMapKeyRef")


def _reference(workload: Workload, path: tuple[str | int, ...], entry: object, kind: str) -> Iterator[Finding]:
    wanted = dig(entry, kind, "name")
    if not isinstance(wanted, str) or dig(entry, kind, "optional") is True:
        return
    found = workload.variables.source(mapping(entry), kind)
    key = dig(entry, kind, "key")
    if found is None:
        elsewhere = [each for each in workload.objects if (each.kind, each.name) == ("ConfigMap", wanted)]
        if elsewhere:
            expected = f"that ConfigMap is in namespace {elsewhere[0].namespace}"
            fix = f"put it in {workload.object.namespace}, where the pods are"
            yield workload.object.finding((*path, "name"), wanted, expected, fix)
            return
        rendered = [each.name for each in workload.variables.maps()]
        for near in get_close_matches(wanted, rendered, n=1):
            expected = "no such ConfigMap is among the manifests"
            yield workload.object.finding((*path, "name"), wanted, expected, f"did you mean {near}?")
    elif kind == "configMapKeyRef" and key not in found.mapping("data"):
        keys = ", ".join(map(str, found.mapping("data"))) or "no key"
        yield workload.object.finding((*path, "key"), key, f"{found} has {keys}", "name one of them, or add it there")


def _unread_maps(workload: Workload) -> Iterator[Finding]:
    for each in workload.variables.maps():
        ours = [str(key) for key in each.mapping("data") if str(key).startswith(PREFIX)]
        if ours and not any(_mentions(other, each.name) for other in workload.objects if other is not each):
            fix = f"let the container's envFrom read it: configMapRef: {{name: {each.name}}}"
            yield each.finding(("data",), ", ".join(ours), "no container reads this ConfigMap", fix)


def _mentions(other: Object, name: str) -> bool:
    """Return whether an object refers to a ConfigMap, wherever in it."""
    waiting: list[object] = [other.content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if any(dig(value, reference, "name") == name for reference in (*_REFERENCES, "configMap")):
                return True
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False


def _service_links(workload: Workload) -> Iterator[Finding]:
    """Kubernetes tells every container of the namespace's Services by variables, `LM_PORT` of one that is named lm."""
    if workload.object.value(*workload.pod, "enableServiceLinks") is False:
        return
    cls = workload.settings_class
    known = {name for field in cls.model_fields for name in variables(cls, field)}
    set_here = {name.upper() for name in workload.variables.by_name}
    for service in workload.others("Service"):
        stem = service.name.upper().replace("-", "_")
        linked = {f"{stem}_PORT", f"{stem}_SERVICE_HOST", f"{stem}_SERVICE_PORT"}
        for name in sorted((linked & known) - set_here):
            expected = f"Kubernetes sets {name} from it, which a setting reads"
            yield service.finding(("metadata", "name"), service.name, expected, "enableServiceLinks: false in the pod")
