"""Event streams as bytes: where an event ends, what may be put between two of them, and what an observer sees."""
