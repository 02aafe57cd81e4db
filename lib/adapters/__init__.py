"""I/O, one service a module, no decisions."""
