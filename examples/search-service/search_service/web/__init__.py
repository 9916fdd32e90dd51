"""The web page: the searches for a person, written on the server, with a little JavaScript that it can do without."""
