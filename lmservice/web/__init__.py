"""The way of a request from the socket to the app: listener, connection, request layer."""
