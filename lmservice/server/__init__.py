"""One process: the service that runs in it, its signals, its drain, its exit code."""
