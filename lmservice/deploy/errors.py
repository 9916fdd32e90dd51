"""How a release can end badly; each message is one line that says why."""

from lmservice.errors import ExitCode, LmserviceError, UsageError


class DeployUsageError(UsageError, ValueError):
    """A request, a plan or a setting that cannot be used as it is; nothing was touched."""


class ReleaseError(LmserviceError, SystemExit):
    """A release that did not go through.

    Left uncaught, as in a pipeline's script, it ends the process with exit code 1 and its one line on stderr.
    """

    exit_code = ExitCode.FINDINGS

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.code = f"lmservice: {reason}"


class RefusedError(ReleaseError):
    """The cluster, the lock or the order of the environments refused; nothing was touched."""


class ReleaseFailedError(ReleaseError):
    """The new version did not pass; what the release had changed is rolled back, or the message says what is not."""


class ClusterUnreachableError(ReleaseFailedError):
    """The API server did not answer for as long as the settings have patience."""


class LockLostError(ReleaseError):
    """Another pipeline holds the lock by now, and what this one began is its to clean up."""


class InterruptedReleaseError(ReleaseFailedError):
    """Ctrl-C, SIGTERM or SIGHUP ended the release."""

    exit_code = ExitCode.FORCED
