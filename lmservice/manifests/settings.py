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
    ours = [env_var for env_var in workload.variables.all if env_var.name.upper().startswith(PREFIX)]
    nearest = misspelt(workload.settings_class, {env_var.name for env_var in ours})
    for env_var in ours:
        if env_var.name in nearest:
            yield _unknown(env_var, nearest[env_var.name])
        else:
            yield from _secrets_in_the_open(workload, env_var)
    for env_var in workload.variables.all:
        yield from _not_text(env_var)
    yield from _twice(workload)
    yield from _values(workload)
    yield from _environment(workload)
    yield from _references(workload)
    yield from _unread_maps(workload)
    yield from _service_links(workload)


def _unknown(env_var: Variable, nearest: str) -> Finding:
    fix = f"did you mean {nearest}?" if nearest else "remove it, or declare it in the service's Settings"
    return env_var.object.finding(env_var.path, env_var.name, "no setting of the service reads it", fix)


def _not_text(env_var: Variable) -> Iterator[Finding]:
    if env_var.value is not None and not isinstance(env_var.value, str):
        kind = {bool: "a boolean", int: "a number", float: "a number"}.get(type(env_var.value), "no text")
        fix = f'quote it: {env_var.name}: "…"'
        yield env_var.object.finding(env_var.path, kind, "the API server takes nothing but text there", fix)


def _secrets_in_the_open(workload: Workload, env_var: Variable) -> Iterator[Finding]:
    inner = fields_by_variable(workload.settings_class).get(env_var.name.upper())
    if inner is None or not isinstance(env_var.value, str) or not env_var.value:
        return
    if secret_name(inner.name) or "Secret" in str(inner.field.annotation):
        masked_value = masked(inner.name, env_var.value, inner.field.annotation)
        fix = f"keep it in a Secret, and let {env_var.name} come from there by secretKeyRef"
        yield env_var.object.finding(env_var.path, masked_value, f"{env_var.name} is a secret", fix)


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
    set_names = {name.upper() for name in (*workload.variables.by_name, *workload.outside)}
    for name in guessable(cls):
        if set_names.isdisjoint(variables(cls, name)):
            env_name = variable(cls, name)
            fix = f"let {env_name} come from a Secret by secretKeyRef, or set LM_ALLOW_DEFAULT_SECRETS"
            yield workload.finding(("env",), f"without {env_name}", "its default can be read in the code", fix)


def _problem(workload: Workload, problem: str) -> Iterator[Finding]:
    name, colon, reason = problem.partition(":")
    name = name.partition("[")[0] if colon else ""
    env_var = next((env_var for key, env_var in workload.variables.by_name.items() if key.upper() == name), None)
    if env_var is None:
        if workload.variables.complete or not _is_missing(workload, name, reason):
            yield workload.finding(("env",), problem, "the service would not start with it", "mend or set it")
    elif env_var.value is not None:
        fix = "set a value that it takes"
        yield env_var.object.finding(
            env_var.path, f"{name}: {reason.strip()}", "the service would not start with it", fix
        )


def _is_missing(workload: Workload, name: str, reason: str) -> bool:
    return name in fields_by_variable(workload.settings_class) and reason.startswith(" is required")


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
    source = workload.variables.source(mapping(entry), kind)
    key = dig(entry, kind, "key")
    if source is None:
        elsewhere = [
            config_map for config_map in workload.objects if (config_map.kind, config_map.name) == ("ConfigMap", wanted)
        ]
        if elsewhere:
            expected = f"that ConfigMap is in namespace {elsewhere[0].namespace}"
            fix = f"put it in {workload.object.namespace}, where the pods are"
            yield workload.object.finding((*path, "name"), wanted, expected, fix)
            return
        rendered = [config_map.name for config_map in workload.variables.maps()]
        for near in get_close_matches(wanted, rendered, n=1):
            expected = "no such ConfigMap is among the manifests"
            yield workload.object.finding((*path, "name"), wanted, expected, f"did you mean {near}?")
    elif kind == "configMapKeyRef" and key not in source.mapping("data"):
        keys = ", ".join(map(str, source.mapping("data"))) or "no key"
        yield workload.object.finding((*path, "key"), key, f"{source} has {keys}", "name one of them, or add it there")


def _unread_maps(workload: Workload) -> Iterator[Finding]:
    for config_map in workload.variables.maps():
        ours = [str(key) for key in config_map.mapping("data") if str(key).startswith(PREFIX)]
        if ours and not any(_mentions(other, config_map.name) for other in workload.objects if other is not config_map):
            fix = f"let the container's envFrom read it: configMapRef: {{name: {config_map.name}}}"
            yield config_map.finding(("data",), ", ".join(ours), "no container reads this ConfigMap", fix)


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
