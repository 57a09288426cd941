"""What driftline is measured beside; each but the bare decoder runs in a virtual environment of its own."""
