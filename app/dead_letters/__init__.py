"""``driftline dead-letters``: what was refused (``letters``), sent again (``replay``), and said of it (``words``)."""
