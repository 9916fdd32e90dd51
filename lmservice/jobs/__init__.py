"""What an author registers on a service: start-up jobs, health checks, periodic jobs."""
