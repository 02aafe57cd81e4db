"""A linear ranker that is trained by replaying a site's own log: see training.py and serving.py."""
