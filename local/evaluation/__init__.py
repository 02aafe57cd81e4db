"""scripts/evaluate: how good the lists are that production makes, on prepared data or on a site's own log."""
