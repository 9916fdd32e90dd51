"""The rules for the container: a release can be traced by it, and it may do no more than a service needs.

The fields are those of the restricted Pod Security Standard, and a root file system that cannot be written.
"""

import re
from collections.abc import Iterator

from lmservice.manifests.finding import Finding
from lmservice.manifests.objects import Path, dig, number, sequence
from lmservice.manifests.workload import Workload

_CONTEXT = "securityContext"
_IMAGE = re.compile(r"(?P<name>[^@]*?)(?::(?P<tag>[^:/@]+))?(?P<digest>@sha256:.+)?")
_UNITS = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_QUANTITY = re.compile(r"(?P<number>[0-9.]+(?:e[0-9]+)?)(?P<unit>[A-Za-z]*)")


def judge(workload: Workload) -> Iterator[Finding]:
    """Judge the image, the resources and the security context."""
    yield from _image(workload)
    yield from _resources(workload)
    yield from _privileges(workload)


def _image(workload: Workload) -> Iterator[Finding]:
    image = workload.value("image")
    parts = _IMAGE.fullmatch(image) if isinstance(image, str) and image else None
    if parts is None:
        yield workload.finding(("image",), image, "a container runs an image", "name one, by its version")
    elif not parts["digest"] and parts["tag"] in (None, "latest"):
        current = f"{image}, without a tag" if parts["tag"] is None else image
        expected = "nobody could tell which version runs, nor go back to the one before"
        yield workload.finding(("image",), current, expected, "give the release's tag or digest")


def _resources(workload: Workload) -> Iterator[Finding]:
    for name in ("cpu", "memory"):
        request, limit = (workload.value("resources", kind, name) for kind in ("requests", "limits"))
        if request is None and limit is None:
            expected = "the scheduler would place it where there is no room, and evict it first"
            path = ("resources", "requests", name)
            yield workload.finding(path, None, expected, "set what the service needs")
        elif request is not None and limit is not None and _amount(request) > _amount(limit):
            fix = "raise the limit, or lower the request"
            yield workload.finding(("resources", "requests", name), request, f"its limit is {limit}", fix)


def _amount(quantity: object) -> float:
    parts = _QUANTITY.fullmatch(str(quantity))
    if parts is None:
        return 0
    return float(parts["number"]) * _UNITS.get(parts["unit"], 1)


def _privileges(workload: Workload) -> Iterator[Finding]:
    restricted = "the restricted Pod Security Standard asks for it"
    for name, wanted, why in (
        ("allowPrivilegeEscalation", False, restricted),
        ("readOnlyRootFilesystem", True, "a service writes nothing beside what is mounted for it"),
    ):
        value = workload.value(_CONTEXT, name)
        if value is not wanted:
            yield workload.finding((_CONTEXT, name), value, why, f"set it to {str(wanted).lower()}")
    if workload.value(_CONTEXT, "privileged") is True:
        yield workload.finding((_CONTEXT, "privileged"), "true", "it would have every right on its node", "remove it")
    path: Path = (_CONTEXT, "capabilities", "drop")
    if "ALL" not in sequence(workload.value(*path)):
        yield workload.finding(path, workload.value(*path), restricted, "set it to [ALL]")
    yield from _of_pod_or_container(workload)


def _of_pod_or_container(workload: Workload) -> Iterator[Finding]:
    for path, wanted in ((("runAsNonRoot",), [True]), (("seccompProfile", "type"), ["RuntimeDefault", "Localhost"])):
        pods = workload.object.value(*workload.pod, _CONTEXT, *path)
        own = workload.value(_CONTEXT, *path)
        value = pods if own is None else own
        if value not in wanted:
            fix = f"set it to {str(wanted[0]).lower() if wanted[0] is True else wanted[0]}, in the pod or here"
            expected = "the restricted Pod Security Standard asks for it"
            yield workload.finding((_CONTEXT, *path), value, expected, fix)
    user = workload.value(_CONTEXT, "runAsUser")
    user = dig(workload.object.value(*workload.pod, _CONTEXT), "runAsUser") if user is None else user
    if user is not None and number(user, 1) == 0:
        yield workload.finding((_CONTEXT, "runAsUser"), user, "0 is root", "give another id, or leave it to the image")
