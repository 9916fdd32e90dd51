"""`python tests/kubernetes/cluster build|up|down|path`: a real single-node Kubernetes, as CI brings it up for itself.

`build` fills the cache with the programs, whose folder `path` tells; `up` starts the cluster inside one network
namespace without a route out and prints its kubeconfig's path; `down` ends what `up` started, by process id, and puts
back what it changed. Both need root. Inside the namespace, with the ingress on port 8080:
`nsenter --net=/run/netns/lmservice-cluster COMMAND`.
"""

import sys

import binaries
import node

COMMANDS = {"build": binaries.build, "up": node.up, "down": node.down, "path": binaries.folder}


def main() -> int:
    """Runs one command."""
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        print(__doc__, file=sys.stderr)
        return 2
    print(COMMANDS[sys.argv[1]]() or "", end="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
