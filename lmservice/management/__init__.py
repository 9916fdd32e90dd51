"""The second listener: probes, metrics, stop and everything else that is not for the service's own clients."""
