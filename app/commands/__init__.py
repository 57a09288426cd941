"""Groups of commands: only names, help and options are here; each command's work is in its own module."""
