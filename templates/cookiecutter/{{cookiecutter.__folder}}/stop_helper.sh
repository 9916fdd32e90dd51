#!/bin/sh
# What Kubernetes runs before it stops a pod (preStop): asks the service to drain, and waits until it has.
#
# By whatever is there: GNU wget, busybox wget, lmservice itself, Python. Writes no file, uses no proxy. Its exit code is
# the drain's: 0 all was finished, 70 work was cut off or a clean-up failed, 1 nothing that answers as a service.
unset http_proxy HTTP_PROXY https_proxy HTTPS_PROXY all_proxy ALL_PROXY
url="http://localhost:${LM_MANAGEMENT_PORT:-{{ cookiecutter.__management_port }}}"

# Each in its plainest form: busybox 1.35, Debian 12's, does not survive -T. Without it a wget waits for 15 minutes.
ask() {
    if command -v wget >/dev/null 2>&1; then
        case "$(wget --version 2>/dev/null)" in
            GNU*) wget -q -t 1 -O - "$url/stop" ;;
            *) wget -q -O - "$url/stop" ;;
        esac
    elif busybox wget --help >/dev/null 2>&1; then
        busybox wget -q -O - "$url/stop"
    else
        return 127
    fi
}

if report="$(ask)"; then
    printf '%s\n' "$report"
    code="${report##*\"exit_code\":}"
    code="${code%%[!0-9]*}"
    if [ -z "$code" ]; then
        printf '%s: %s/stop answered with something that is no report\n' "$0" "$url" >&2
        code=1
    fi
    exit "$code"
fi

# No wget, or one that failed: these try every address of localhost, and say why.
if command -v lmservice >/dev/null 2>&1; then
    exec lmservice stop --url "$url"
fi
for python in python3 python; do
    if command -v "$python" >/dev/null 2>&1; then
        exec "$python" -c '
import json, sys, urllib.request
url = sys.argv[1]
try:
    with urllib.request.urlopen(url + "/stop") as answer:
        report = answer.read().decode()
    print(report)
    sys.exit(json.loads(report)["exit_code"])
except OSError as error:
    sys.exit(f"{url} does not answer as a management listener: {error}")
except (ValueError, KeyError, TypeError):
    sys.exit(f"{url}/stop answered with something that is no report")
' "$url"
    fi
done
printf '%s: there is neither wget, lmservice nor Python on PATH to ask %s by\n' "$0" "$url" >&2
exit 127
