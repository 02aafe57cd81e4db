"""One job a module: gather, decide, apply."""
