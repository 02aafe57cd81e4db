"""What the configuration check tries, a file for each service. Every check is a generator that says what it finds."""
