"""The demo: a year of real flights through the whole circle, in simulated time made honest."""
