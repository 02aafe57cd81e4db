"""Measures the unit costs on the real stack of this machine: each is solved from runs of known composition."""
