"""The application: the `driftline` command, wiring, supervisor and demo; the only reader of clocks and environment."""
