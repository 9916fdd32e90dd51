"""Every mistake that a manifest can have: each is made alone in a rendering that is right, and found alone."""

from typing import Any

import pytest
from manifests.conftest import Judge, Rendering, rendered

GONE = object()
"""For a field that is left out."""
C = "Deployment/spec/template/spec/containers/0"
POD = "Deployment/spec/template/spec"
UPDATE = "Deployment/spec/strategy/rollingUpdate"


def spoilt(changes: dict[str, Any]) -> Rendering:
    """The right rendering with some fields changed; each path begins with a kind, list entries by position."""
    rendering = rendered()
    for path, value in changes.items():
        *way, last = (int(step) if step.isdigit() else step for step in path.split("/"))
        here: Any = rendering
        for step in way:
            here = here[step]
        if value is GONE:
            del here[last]
        elif isinstance(here, list) and last == len(here):
            here.append(value)
        else:
            here[last] = value
    return rendering


def route(port: int) -> dict[str, Any]:
    """One of the Gateway API, to a port of the Service."""
    backends = [{"name": "shop", "port": port}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"rules": [{"backendRefs": backends}]},
    }


def rival() -> Any:
    """Another environment's Deployment in the same namespace, whose pods no label sets apart."""
    deployment = rendered()["Deployment"]
    deployment["metadata"]["name"] = "shop-qa"
    return deployment


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    # the environment
    "a misspelt variable": (
        {"ConfigMap/data/LM_DRIAN_TIMEOUT": "10"},
        ("ConfigMap shop: data.LM_DRIAN_TIMEOUT is LM_DRIAN_TIMEOUT, but no setting of the service reads it: "
        "did you mean LM_DRAIN_TIMEOUT?"),
    ),
    "a misspelt variable in env": (
        {f"{C}/env/2": {"name": "LM_CURENCY", "value": "USD"}},
        ("spec.template.spec.containers[shop].env[LM_CURENCY] is LM_CURENCY, but no setting of the service reads it: "
        "did you mean LM_CURRENCY?"),
    ),
    "a value of the wrong type": (
        {"ConfigMap/data/LM_MAX_CONCURRENCY": "many"},
        "ConfigMap shop: data.LM_MAX_CONCURRENCY is LM_MAX_CONCURRENCY: 'many': input should be a valid integer",
    ),
    "a number that is not quoted": (
        {"ConfigMap/data/LM_MAX_CONCURRENCY": 200},
        "data.LM_MAX_CONCURRENCY is a number, but the API server takes nothing but text there: quote it",
    ),
    "a boolean that is not quoted": (
        {f"{C}/env/2": {"name": "LM_ACCESS_LOG", "value": True}},
        "env[LM_ACCESS_LOG] is a boolean, but the API server takes nothing but text there",
    ),
    "a variable twice": (
        {f"{C}/env/2": {"name": "LM_RATE", "value": "1"}, f"{C}/env/3": {"name": "LM_RATE", "value": "2"}},
        "env[LM_RATE] is LM_RATE, but env has it already, and only the last one counts",
    ),
    "a secret in the open": (
        {f"{C}/env/1": {"name": "LM_TOKEN", "value": "hunter2"}},
        "env[LM_TOKEN] is ********, but LM_TOKEN is a secret: keep it in a Secret",
    ),
    "a required variable that is missing": (
        {f"{C}/env/1": GONE},
        "env is LM_TOKEN: is required (SecretStr): set it in the environment, but the service would not start",
    ),
    "no environment": (
        {"ConfigMap/data/LM_ENVIRONMENT": GONE},
        "env is without LM_ENVIRONMENT, but the default is dev, in which a stop skips the drain's delay",
    ),
    "a ConfigMap that does not exist": (
        {f"{C}/envFrom/1": {"configMapRef": {"name": "shopp"}}},
        "envFrom[1].configMapRef.name is shopp, but no such ConfigMap is among the manifests: did you mean shop?",
    ),
    "a key that its ConfigMap does not have": (
        {f"{C}/env/2": {"name": "LM_RATE", "valueFrom": {"configMapKeyRef": {"name": "shop", "key": "rate"}}}},
        "env[LM_RATE].valueFrom.configMapKeyRef.key is rate, but ConfigMap shop has LM_ENVIRONMENT, ",
    ),
    "a ConfigMap that no container reads": (
        {
            f"{C}/envFrom": GONE, f"{C}/env/2": {"name": "LM_ENVIRONMENT", "value": "qa"},
            "ConfigMap/data/LM_FORWARDED_ALLOW": GONE,
            f"{C}/env/3": {"name": "LM_FORWARDED_ALLOW", "value": "10.0.0.0/8"},
        },
        "ConfigMap shop: data is LM_ENVIRONMENT, LM_MAX_CONCURRENCY, but no container reads this ConfigMap",
    ),
    "a Service whose links are read as settings": (
        {
            "Other": {
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": "lm"},
                "spec": {"selector": {"app.kubernetes.io/name": "shop"}, "ports": [{"port": 80, "targetPort": 8081}]},
            }
        },
        ("Service lm: metadata.name is lm, but Kubernetes sets LM_PORT from it, which a setting reads: "
        "enableServiceLinks: false in the pod"),
    ),
    "a misspelt key of a Secret that is mounted as files": (
        {
            "Secret": {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "files", "namespace": "shop"},
                       "stringData": {"LM_TOKN": "hunter2", "LM_TOKEN": "hunter2", "ca.crt": "x"}},
            f"{POD}/volumes": [{"name": "secrets", "secret": {"secretName": "files"}}],
            f"{C}/volumeMounts": [{"name": "secrets", "mountPath": "/var/run/secrets/", "readOnly": True}],
        },
        ("Secret files: stringData.LM_TOKN is LM_TOKN, but no setting reads a file of that name in /run/secrets: "
        "did you mean LM_TOKEN?"),
    ),
    "a key of a Secret that lost its prefix on the way to a file": (
        {
            "Secret": {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "files", "namespace": "shop"},
                       "data": {"t": "aHVudGVyMg=="}},
            "ConfigMap/data/LM_SECRETS_DIR": "/etc/shop",
            f"{POD}/volumes": [{"name": "secrets", "projected": {"sources": [
                {"secret": {"name": "files", "items": [{"key": "t", "path": "token"}]}}]}}],
            f"{C}/volumeMounts": [{"name": "secrets", "mountPath": "/etc/shop"}],
        },
        ("volumes[secrets].projected.sources[0].secret.items[0].path is token, but no setting reads a file of that "
        "name in /etc/shop: did you mean LM_TOKEN?"),
    ),
    "a port that nobody can know": (
        {"ConfigMap/data/LM_PORT": "0", f"{C}/ports/0/containerPort": 0, "Service/spec/ports/0/targetPort": 0},
        "env is LM_PORT 0, but a free port is one that nobody else knows",
    ),
    "a listener that only the pod reaches": (
        {"ConfigMap/data/LM_MANAGEMENT_HOST": "127.0.0.1"},
        "env is LM_MANAGEMENT_HOST 127.0.0.1, but the kubelet's probes come from outside the pod",
    ),
    # the probes
    "no start-up probe": ({f"{C}/startupProbe": GONE}, "startupProbe is missing, but without it the other probes"),
    "no liveness probe": ({f"{C}/livenessProbe": GONE}, "livenessProbe is missing, but without it a service whose"),
    "no readiness probe": ({f"{C}/readinessProbe": GONE}, "readinessProbe is missing, but without it requests come"),
    "liveness on /readyz": (
        {f"{C}/livenessProbe/httpGet/path": "/readyz"},
        ("livenessProbe.httpGet.path is /readyz, but it would restart a service that only drains or waits for a "
        "dependency: set it to /livez"),
    ),
    "readiness on /livez": (
        {f"{C}/readinessProbe/httpGet/path": "/livez"},
        "readinessProbe.httpGet.path is /livez, but it would send requests to a service that is starting or draining",
    ),
    "a path that there is not": (
        {f"{C}/startupProbe/httpGet/path": "/healthz"},
        "startupProbe.httpGet.path is /healthz, but startup is answered by /startupz: set it to /startupz",
    ),
    "a probe on the service port": (
        {f"{C}/readinessProbe/httpGet/port": 8081},
        "readinessProbe.httpGet.port is 8081, but LM_MANAGEMENT_PORT is 8002: ask the management listener: port: 8002",
    ),
    "a probe on a port that has no such name": (
        {f"{C}/livenessProbe/httpGet/port": "mgmt"},
        "livenessProbe.httpGet.port is mgmt (no port of that name), but LM_MANAGEMENT_PORT is 8002",
    ),
    "a probe that only connects": (
        {f"{C}/readinessProbe": {"tcpSocket": {"port": 8081}}},
        "readinessProbe is tcpSocket, but only /readyz knows the state",
    ),
    "a probe over TLS": (
        {f"{C}/livenessProbe/httpGet/scheme": "HTTPS"},
        "livenessProbe.httpGet.scheme is HTTPS, but the management listener speaks plain HTTP",
    ),
    "a start-up probe that gives up before the service": (
        {f"{C}/startupProbe/failureThreshold": 30},
        ("startupProbe.failureThreshold is 30, times periodSeconds 1: gives up after 30 s, but LM_STARTUP_TIMEOUT is "
        "60 s: raise it to 61, or lower LM_STARTUP_TIMEOUT"),
    ),
    "a start-up limit raised past the probe": (
        {"ConfigMap/data/LM_STARTUP_TIMEOUT": "300"},
        "gives up after 65 s, but LM_STARTUP_TIMEOUT is 300 s",
    ),
    "a liveness probe without patience": (
        {f"{C}/livenessProbe/failureThreshold": 1},
        "livenessProbe.failureThreshold is 1, but one answer that is lost would restart it: set it to 3",
    ),
    "a probe that takes longer than its period": (
        {f"{C}/readinessProbe/timeoutSeconds": 5},
        "readinessProbe.timeoutSeconds is 5, but periodSeconds is 2: shorten the timeout",
    ),
    # the stop
    "no preStop hook": (
        {f"{C}/lifecycle": GONE},
        "lifecycle.preStop is missing, but without it the drain begins with SIGTERM",
    ),
    "a preStop hook that only sleeps": (
        {f"{C}/lifecycle/preStop": {"exec": {"command": ["sleep", "15"]}}},
        "lifecycle.preStop.exec.command is sleep 15, but the drain begins with a call of /stop",
    ),
    "a preStop hook of Kubernetes that only sleeps": (
        {f"{C}/lifecycle/preStop": {"sleep": {"seconds": 15}}},
        "lifecycle.preStop is sleep, but the drain begins with a call of /stop",
    ),
    "a preStop hook that calls another port": (
        {f"{C}/lifecycle/preStop/exec/command": ["wget", "-qO-", "http://localhost:8081/stop"]},
        "command is wget -qO- http://localhost:8081/stop, but LM_MANAGEMENT_PORT is 8002: call port 8002",
    ),
    "a preStop hook that the management listener refuses": (
        {f"{C}/lifecycle/preStop": {"httpGet": {"path": "/stop", "port": "management"}}},
        ("lifecycle.preStop.httpGet is httpGet, but the kubelet calls from its node, and LM_MANAGEMENT_ALLOW is "
        "127.0.0.0/8, ::1/128: the hook gets 403"),
    ),
    "a preStop hook of the wrong path": (
        {
            f"{C}/lifecycle/preStop": {"httpGet": {"path": "/shutdown", "port": 8002}},
            "ConfigMap/data/LM_MANAGEMENT_ALLOW": "127.0.0.0/8,10.0.0.0/8",
        },
        "lifecycle.preStop.httpGet.path is /shutdown, but the drain begins with a call of /stop: set it to /stop",
    ),
    "a grace period that is too short": (
        {f"{POD}/terminationGracePeriodSeconds": 50, "ConfigMap/data/LM_CLEANUP_TIMEOUT": "18"},
        ("terminationGracePeriodSeconds is 50, but LM_DRAIN_DELAY_MAX 15 + LM_DRAIN_TIMEOUT 20 + LM_CLEANUP_TIMEOUT 18 "
        "+ 3 for closing = 56 s: raise it to 56 or more"),
    ),
    "no grace period": (
        {f"{POD}/terminationGracePeriodSeconds": GONE},
        "terminationGracePeriodSeconds is missing, which is 30, but LM_DRAIN_DELAY_MAX 15 + LM_DRAIN_TIMEOUT 20",
    ),
    "a grace period that the service was told differently": (
        {f"{POD}/terminationGracePeriodSeconds": 90},
        "terminationGracePeriodSeconds is 90, but LM_TERMINATION_GRACE_PERIOD is 60: let both be the same",
    ),
    # what it is reached by
    "an Ingress before a service that believes no proxy": (
        {"ConfigMap/data/LM_FORWARDED_ALLOW": GONE},
        ("env is without LM_FORWARDED_ALLOW, but Ingress shop is a proxy: every request would seem to be http, from "
        "the proxy's own address: set LM_FORWARDED_ALLOW to the proxies' networks"),
    ),
    "the environment dev behind a host that people depend on": (
        {"ConfigMap/data/LM_ENVIRONMENT": "dev"},
        ("ConfigMap shop: data.LM_ENVIRONMENT is dev, but Ingress shop leads shop.prd.mykubecluster.intra here, and a "
        "stop in dev skips the drain's delay"),
    ),
    "one pod": (
        {"HorizontalPodAutoscaler/spec/minReplicas": 1},
        ("HorizontalPodAutoscaler shop: spec.minReplicas is 1, but while its node is replaced or fails nothing serves: "
        "two pods are the least: set it to 2"),
    ),
    "another Deployment's pods with the same labels": (
        {"Rival": rival()},
        "Service shop: spec.selector is app.kubernetes.io/name=shop, but the pods of Deployment shop-qa have",
    ),
    "two budgets for the same pods": (
        {"PodDisruptionBudget2": {
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"name": "shop-too", "namespace": "shop"},
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app.kubernetes.io/name": "shop"}}},
        }},
        "PodDisruptionBudget shop-too: metadata.name is shop-too, but PodDisruptionBudget shop is for the same pods",
    ),
    "a sidecar that requests nothing where utilization is measured": (
        {f"{POD}/initContainers": [{"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"}]},
        ("spec.metrics[0].resource.name is cpu, but container proxy requests no cpu to measure it by: set "
        "resources.requests.cpu there, or use a ContainerResource of shop"),
    ),
    "a metric of a container that was renamed": (
        {"HorizontalPodAutoscaler/spec/metrics/1": {"type": "ContainerResource", "containerResource": {
            "name": "cpu", "container": "app", "target": {"type": "Utilization", "averageUtilization": 70}}}},
        "spec.metrics[1].containerResource.container is app, but the pods' containers are shop: name one of them",
    ),
    "a hanging service that is waited for": (
        {f"{C}/livenessProbe/terminationGracePeriodSeconds": GONE},
        ("livenessProbe.terminationGracePeriodSeconds is missing, which is the pod's 60, but a service that hangs "
        "cannot drain, and would be waited for that long before it starts anew: set it to 5"),
    ),
    "a stop signal that kills": (
        {f"{C}/lifecycle/stopSignal": "SIGKILL", f"{POD}/os": {"name": "linux"}},
        "lifecycle.stopSignal is SIGKILL, but it ends the service at once",
    ),
    "a stop signal that stops nothing": (
        {f"{C}/lifecycle/stopSignal": "SIGUSR1", f"{POD}/os": {"name": "linux"}},
        "lifecycle.stopSignal is SIGUSR1, but it logs stacks and stops nothing",
    ),
    "a stop signal that begins no drain": (
        {f"{C}/lifecycle/stopSignal": "SIGWINCH", f"{POD}/os": {"name": "linux"}},
        "lifecycle.stopSignal is SIGWINCH, but it begins no drain: the pod would run on until it is killed",
    ),
    "a stop signal of a pod that names no system": (
        {f"{C}/lifecycle/stopSignal": "SIGTERM"},
        "lifecycle.stopSignal is SIGTERM, but the API server refuses it without the pod's os.name",
    ),
    # the network
    "a container port that is not the service's": (
        {f"{C}/ports/0/containerPort": 8080},
        "ports is 8080, 8002, but LM_PORT is 8081: list containerPort: 8081",
    ),
    "one port for both listeners": (
        {"ConfigMap/data/LM_MANAGEMENT_PORT": "8081"},
        "env is LM_PORT 8081, but LM_MANAGEMENT_PORT is the same",
    ),
    "a port's name twice": (
        {f"{C}/ports/2": {"name": "http", "containerPort": 8081, "protocol": "UDP"}},
        "ports is name http twice, but each port is listed once",
    ),
    "a port of the node": (
        {f"{C}/ports/0/hostPort": 8081},
        "ports[http].hostPort is 8081, but a new pod cannot start beside an old one",
    ),
    "a Service that leads elsewhere": (
        {"Service/spec/ports/0/targetPort": 8080},
        "Service shop: spec.ports[http].targetPort is 8080, but LM_PORT is 8081: set it to 8081",
    ),
    "a Service that names no port": (
        {"Service/spec/ports/0/targetPort": "web"},
        "spec.ports[http].targetPort is web, but the container's ports have the names http, management",
    ),
    "a Service that shows management": (
        {"Service/spec/ports/1": {"name": "management", "port": 8002, "targetPort": "management"}},
        "spec.ports[management].targetPort is management, but LM_MANAGEMENT_PORT is 8002: remove it from the Service",
    ),
    "a Service that finds no pod": (
        {"Service/spec/selector": {"app.kubernetes.io/name": "shopp"}},
        ("Service shop: spec.selector is app.kubernetes.io/name=shopp, but no pod of the manifests has these labels: "
        "Deployment shop has app.kubernetes.io/name=shop"),
    ),
    "a Service that leads to pods that are not ready": (
        {"Service/spec/publishNotReadyAddresses": True},
        "publishNotReadyAddresses is true, but requests would come to pods that start or drain: remove it",
    ),
    "an Ingress to management": (
        {"Ingress/spec/rules/0/http/paths/0/backend/service/port": {"number": 8002}},
        "backend.service.port.number is 8002, but LM_MANAGEMENT_PORT is 8002: lead it to the service's port",
    ),
    "an Ingress to another Service": (
        {"Ingress/spec/rules/0/http/paths/0/backend/service/name": "shopp"},
        "backend.service.name is shopp, but the Services here are shop: name one of them",
    ),
    "an Ingress to a port that its Service does not have": (
        {"Ingress/spec/rules/0/http/paths/0/backend/service/port": {"number": 8081}},
        "backend.service.port.number is 8081, but Service shop has 80: name a port that it has",
    ),
    "a NetworkPolicy that lets anybody manage": (
        {"NetworkPolicy/spec/ingress/1/from": GONE},
        "spec.ingress[1].from is anybody, but LM_MANAGEMENT_PORT 8002 is among the ports: say in from: who may",
    ),
    "a NetworkPolicy that lets the whole cluster manage": (
        {"NetworkPolicy/spec/ingress/1/from": [{"namespaceSelector": {}}]},
        "from is the whole cluster, but LM_MANAGEMENT_PORT 8002 is among the ports",
    ),
    "a NetworkPolicy that lets nobody in": (
        {"NetworkPolicy/spec/ingress/0/ports/0/port": 8080},
        "NetworkPolicy shop: spec.ingress is without it, but LM_PORT is 8081: nobody gets in: add a rule for port 8081",
    ),
    "a PodMonitor of the service port": (
        {"PodMonitor/spec/podMetricsEndpoints/0/port": "http"},
        ("PodMonitor shop: spec.podMetricsEndpoints[0].port is http, but LM_MANAGEMENT_PORT is 8002: "
        "set it to management"),
    ),
    "the node's network": (
        {f"{POD}/hostNetwork": True},
        "spec.hostNetwork is true, but its ports would be the node's: no new pod could start beside an old one",
    ),
    "a NetworkPolicy that keeps the monitoring out": (
        {"NetworkPolicy/spec/ingress/1": GONE},
        ("NetworkPolicy shop: spec.ingress is without a rule for it, but PodMonitor shop scrapes LM_MANAGEMENT_PORT "
        "8002: it does not get in: add a rule for port 8002"),
    ),
    "an HTTPRoute to management": (
        {"HTTPRoute": route(8002)},
        "HTTPRoute shop: spec.rules[0].backendRefs[shop].port is 8002, but LM_MANAGEMENT_PORT is 8002: lead it to",
    ),
    "an HTTPRoute to a port that its Service does not have": (
        {"HTTPRoute": route(8081)},
        "spec.rules[0].backendRefs[shop].port is 8081, but Service shop has 80: name a port that it has",
    ),
    "a Service that leads to the pods of a job": (
        {
            "Service/spec/ports/0/targetPort": 8081,
            "CronJob": {
                "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "report", "namespace": "shop"},
                "spec": {"jobTemplate": {"spec": {"template": {
                    "metadata": {"labels": {"app.kubernetes.io/name": "shop"}},
                    "spec": {"containers": [{"name": "report", "image": "report:1"}]},
                }}}},
            },
        },
        "Service shop: spec.selector is app.kubernetes.io/name=shop, but the pods of CronJob report have these labels",
    ),
    "a ServiceMonitor of the service port": (
        {
            "Service/metadata/labels": {"app": "shop"},
            "ServiceMonitor": {
                "apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor",
                "metadata": {"name": "shop", "namespace": "shop"},
                "spec": {"selector": {"matchLabels": {"app": "shop"}}, "endpoints": [{"port": "http"}]},
            },
        },
        ("ServiceMonitor shop: spec.endpoints[0].port is http, but Service shop leads it to 8081, and "
        "LM_MANAGEMENT_PORT is 8002: use a PodMonitor, or a Service of its own that leads to that port alone"),
    ),
    "annotations that name the service port": (
        {"Deployment/spec/template/metadata/annotations":
            {"prometheus.io/scrape": "true", "prometheus.io/port": "8081"}},
        "template.metadata.annotations[prometheus.io/port] is 8081, but LM_MANAGEMENT_PORT is 8002: set it to",
    ),
    "annotations that name another path": (
        {"Deployment/spec/template/metadata/annotations":
            {"prometheus.io/scrape": "true", "prometheus.io/path": "/prometheus"}},
        "annotations[prometheus.io/path] is /prometheus, but the metrics are at /metrics",
    ),
    "a ConfigMap of another namespace": (
        {"ConfigMap/metadata/namespace": "other"},
        "envFrom[0].configMapRef.name is shop, but that ConfigMap is in namespace other: put it in shop",
    ),
    "a PodMonitor of the wrong path": (
        {"PodMonitor/spec/podMetricsEndpoints/0/path": "/prometheus"},
        "path is /prometheus, but the metrics are at /metrics",
    ),
    # the size
    "a rollout with fewer pods": (
        {f"{UPDATE}/maxUnavailable": 1},
        "maxUnavailable is 1, but each release would serve with fewer pods than are wanted: set it to 0",
    ),
    "a rollout by Kubernetes' defaults": (
        {"Deployment/spec/strategy": GONE},
        "spec.strategy.rollingUpdate.maxUnavailable is missing, which is 25%, but each release would serve with fewer",
    ),
    "a rollout that cannot begin": (
        {f"{UPDATE}/maxSurge": 0},
        "maxSurge is 0, but with maxUnavailable 0 no release could ever begin: set it to 1 or more",
    ),
    "a rollout that stops everything first": (
        {"Deployment/spec/strategy": {"type": "Recreate"}},
        "spec.strategy.type is Recreate, but every release would stop all pods before it starts any",
    ),
    "a rollout that is given up before a start": (
        {"Deployment/spec/progressDeadlineSeconds": 45},
        "spec.progressDeadlineSeconds is 45, but LM_STARTUP_TIMEOUT is 60 s: raise it above that",
    ),
    "a budget that blocks every node": (
        {"PodDisruptionBudget/spec/maxUnavailable": GONE, "PodDisruptionBudget/spec/minAvailable": 3},
        "minAvailable is 3, but Deployment shop may have 3 pods: no node could ever be drained: use maxUnavailable: 1",
    ),
    "a budget that blocks every node, in per cent": (
        {"PodDisruptionBudget/spec/maxUnavailable": GONE, "PodDisruptionBudget/spec/minAvailable": "70%"},
        "minAvailable is 70%, but Deployment shop may have 3 pods",
    ),
    "a budget that lets no pod go": (
        {"PodDisruptionBudget/spec/maxUnavailable": 0},
        "maxUnavailable is 0, but it lets no pod go: no node could ever be drained",
    ),
    "a budget that says it twice": (
        {"PodDisruptionBudget/spec/minAvailable": 1},
        "minAvailable is 1, but maxUnavailable is 1 beside it: remove one of the two",
    ),
    "an autoscaler upside down": (
        {"HorizontalPodAutoscaler/spec/maxReplicas": 2},
        "HorizontalPodAutoscaler shop: spec.minReplicas is 3, but maxReplicas is 2",
    ),
    "an autoscaler of another workload": (
        {"HorizontalPodAutoscaler/spec/scaleTargetRef/name": "shopp", "Deployment/spec/replicas": 3},
        "spec.scaleTargetRef is Deployment shopp, but the workloads here are Deployment shop: name one of them",
    ),
    "a size that two decide": (
        {"Deployment/spec/replicas": 3},
        "spec.replicas is 3, but HorizontalPodAutoscaler shop sets it, and every apply would set it back: remove it",
    ),
    "an autoscaler without a measure": (
        {f"{C}/resources/requests/cpu": GONE},
        "resource.name is cpu, but container shop requests no cpu to measure it by",
    ),
    "labels that the Deployment does not select": (
        {"Deployment/spec/selector/matchLabels/tier": "web"},
        "spec.selector.matchLabels.tier is web, but the pods' label is missing: let both be the same",
    ),
    "pods that are spread by labels they do not have": (
        {f"{POD}/topologySpreadConstraints/0/labelSelector/matchLabels": {"app": "shop"}},
        "topologySpreadConstraints[0].labelSelector is app=shop, but the pods have app.kubernetes.io/name=shop",
    ),
    "a rollout that is paused": (
        {"Deployment/spec/paused": True},
        "spec.paused is true, but no release would replace a pod: remove it",
    ),
    "a rollout by hand": (
        {
            "Deployment/kind": "StatefulSet", "Deployment/spec/strategy": GONE,
            "Deployment/spec/updateStrategy": {"type": "OnDelete"},
            "HorizontalPodAutoscaler/spec/scaleTargetRef/kind": "StatefulSet",
        },
        "spec.updateStrategy.type is OnDelete, but a release replaces no pod until somebody deletes it",
    ),
    "a canary with fewer pods": (
        {
            "Deployment/kind": "Rollout", "Deployment/apiVersion": "argoproj.io/v1alpha1",
            "Deployment/spec/strategy": {"canary": {"maxUnavailable": "25%"}},
            "HorizontalPodAutoscaler/spec/scaleTargetRef/kind": "Rollout",
        },
        "spec.strategy.canary.maxUnavailable is 25%, but each release would serve with fewer pods",
    ),
    # what is written as text
    "a grace period that is quoted": (
        {f"{POD}/terminationGracePeriodSeconds": "60"},
        'terminationGracePeriodSeconds is "60", but the API server takes no text there: remove the quotes',
    ),
    "a container's port that is quoted": (
        {f"{C}/ports/0/containerPort": "8081"},
        'ports[http].containerPort is "8081", but the API server takes no text there',
    ),
    "a probe's port that is quoted": (
        {f"{C}/livenessProbe/httpGet/port": "8002"},
        'livenessProbe.httpGet.port is "8002", but the API server takes no text there',
    ),
    "a flag that is quoted": (
        {f"{C}/securityContext/readOnlyRootFilesystem": "true"},
        'readOnlyRootFilesystem is "true", but the API server takes no text there',
    ),
    # the container
    "an image without a tag": (
        {f"{C}/image": "registry.intra:5000/team/shop"},
        "image is registry.intra:5000/team/shop, without a tag, but nobody could tell which version runs",
    ),
    "the latest image": ({f"{C}/image": "shop:latest"}, "image is shop:latest, but nobody could tell which version"),
    "no image": ({f"{C}/image": GONE}, "image is missing, but a container runs an image"),
    "no resources": (
        {f"{C}/resources": {"requests": {"cpu": "1"}}},
        "resources.requests.memory is missing, but the scheduler would place it where there is no room",
    ),
    "a request above its limit": (
        {f"{C}/resources/requests/memory": "1Gi"},
        "resources.requests.memory is 1Gi, but its limit is 256Mi",
    ),
    "a root user": ({f"{POD}/securityContext/runAsNonRoot": GONE}, "runAsNonRoot is missing, but the restricted"),
    "the id of root": ({f"{POD}/securityContext/runAsUser": 0}, "runAsUser is 0, but 0 is root"),
    "more rights than its parent": (
        {f"{C}/securityContext/allowPrivilegeEscalation": GONE},
        "allowPrivilegeEscalation is missing, but the restricted Pod Security Standard asks for it: set it to false",
    ),
    "every right": ({f"{C}/securityContext/privileged": True}, "privileged is true, but it would have every right"),
    "capabilities": ({f"{C}/securityContext/capabilities": GONE}, "capabilities.drop is missing, but the restricted"),
    "a root file system to write to": (
        {f"{C}/securityContext/readOnlyRootFilesystem": False},
        "readOnlyRootFilesystem is false, but a service writes nothing beside what is mounted for it: set it to true",
    ),
    "every system call": (
        {f"{POD}/securityContext/seccompProfile": {"type": "Unconfined"}},
        "seccompProfile.type is Unconfined, but the restricted Pod Security Standard asks for it: set it to Runtime",
    ),
    "two containers, none of which is the service": (
        {f"{C}/name": "web", f"{C}/command": GONE, f"{C}/env": GONE,
         f"{POD}/containers/1": {"name": "proxy", "image": "envoy:1"}},
        "spec.template.spec.containers is web, proxy, but one of them must be shop's: name the service's",
    ),
}  # fmt: skip


BROUGHT_ALONG = {
    "another Deployment's pods with the same labels": 9,  # Deployment, Service and budget each have the other's
    "an autoscaler without a measure": 2,  # without a request it is placed anywhere, too
    "a container port that is not the service's": 2,  # nobody gets in by its name either
    "one port for both listeners": 8,  # probes, policy, monitor and Service mean two
    "two containers, none of which is the service": 2,  # the autoscaler measures the other one, too
}
"""How many findings come of the mistakes that cannot but have more than one."""


def test_a_rendering_that_is_right_has_no_finding(judge: Judge) -> None:
    assert judge(rendered()) == []


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_and_told(judge: Judge, mistake: str) -> None:
    changes, text = MISTAKES[mistake]
    findings = judge(spoilt(changes))
    matching = [finding for finding in findings if text in str(finding)]
    assert len(matching) == 1, [str(finding) for finding in findings]
    match = matching[0]
    assert match.file.endswith("shop.yaml")
    assert match.line > 1 or match.object.startswith("ConfigMap")
    assert all((match.object, match.field, match.found, match.expected, match.fix))
    assert len(findings) <= BROUGHT_ALONG.get(mistake, 1), [str(finding) for finding in findings]


def test_no_two_mistakes_are_told_alike() -> None:
    texts = [text for _, text in MISTAKES.values()]
    assert len(set(texts)) == len(texts) >= 20
