"""Several processes that serve from one listening socket, under a supervisor that serves nothing itself.

The supervisor (`supervisor`) has the signals, the management listener and the drain; each worker (`main`) is a process
of its own that runs the service as one process would, and hears of the supervisor over a socket pair (`channel`). What
they count is summed up by the supervisor (`totals`), which keeps what a worker had counted when it died; what they
show to whoever watches is made one picture (`picture`, section by section in `merge_picture`).
"""
