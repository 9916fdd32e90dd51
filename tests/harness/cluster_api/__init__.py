"""An API server for tests, over real HTTP: what a release needs of Kubernetes, in seconds and with faults by script.

Not a mock of lmservice's own code, which talks to it through the same client as to a cluster. What it answers follows
https://kubernetes.io/docs/reference/using-api/server-side-apply/ and the API conventions; `tests/deploy/
test_cluster_api.py` holds it to that, and the same tests run against a real API server where there is one.
"""
