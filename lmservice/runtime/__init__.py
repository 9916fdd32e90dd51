"""The interpreter: its threads, their stacks, its lock, imports that wait until they are needed."""
