"""Whether committed offsets, tables and topics belong together, and how an operator makes them."""
