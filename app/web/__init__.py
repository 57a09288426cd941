"""The read-only page of an installation: models, who serves, open incidents. No scripts, no build step."""
