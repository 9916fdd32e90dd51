"""`lmservice top`: the instances of a service, live in a terminal."""
