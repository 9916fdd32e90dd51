"""PID 1 of a container: it starts the service as a child, passes signals on, and reaps what is nobody's.

A process whose parent has ended becomes a child of PID 1, which has to ask for its exit status, else it stays a zombie.
The service itself cannot do that: nothing tells a child that somebody waits for (`subprocess`) from one that has been
handed down, and whoever asks first takes the exit code. So PID 1 is a process of its own, forked before anything is
imported, which waits for signals and does nothing else. It ends with the service, and with the service's exit code.
"""

import os
import signal

SIGNALED = 128
"""What a shell, a container's runtime and Kubernetes add to a signal's number, for the exit code of what it ended."""
_SI_KERNEL = 128  # of a signal that a terminal sends to the whole process group, the service among them


def stand_in_as_first() -> None:
    """Fork the service off where this process is PID 1; return in the process that is to be the service."""
    if os.getpid() == 1:
        stand_in()


def stand_in() -> None:
    """Fork: return in the child; in this process, reap and pass on until the child has ended, then exit as it did."""
    waited_for = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
    service = os.fork()
    if service == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    code: int | None = None
    while code is None:
        received = signal.sigwaitinfo(waited_for)
        if received.si_signo == signal.SIGCHLD:
            code = _reap(service)
        elif received.si_code != _SI_KERNEL:
            os.kill(service, received.si_signo)
    os._exit(code)


def _reap(service: int) -> int | None:
    """Reap all that has ended; return the service's exit code where it is among them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == service:
            code = _exit_code(status)


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else SIGNALED - code
