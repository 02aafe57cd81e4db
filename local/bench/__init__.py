"""scripts/bench: what the parts cost, each against a limit measured in the same run."""
