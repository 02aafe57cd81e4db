"""The embedded stack: real servers and a local QStash for scripts/dev and the tests. Never deployed."""
