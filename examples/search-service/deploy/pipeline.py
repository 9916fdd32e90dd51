"""The release: the image of a version, as a canary in one environment after the other.

`VERSION=0.2.0 python deploy/pipeline.py`; what fails is rolled back, and ends it.
"""

import os

from lmservice.deploy import DeployRequest, canary

ENVIRONMENTS = (
    "qa",
    "preview",
    "production",
)

microservice = (
    DeployRequest("search-service")
    .with_artifact("registry.intra/search-service", version=os.environ["VERSION"])
    .from_git_repo("git.intra/search/search-service", path="deploy")
)

if __name__ == "__main__":
    for environment in ENVIRONMENTS:
        canary(microservice, environment)
