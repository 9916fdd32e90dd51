"""Consumers: the half of a service that no request reaches."""
