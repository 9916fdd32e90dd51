"""What a handler is raised that sends to a client which has left."""


class ClientGoneError(OSError):
    """Nobody is left to send to (ASGI's `spec_version` 2.4 wants an OSError)."""
