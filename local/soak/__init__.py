"""Drains that are killed at every point of their work, and the proof that nothing was lost or applied twice."""
