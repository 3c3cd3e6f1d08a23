"""Further questions to a path: each asks one thing, takes a known time, and answers in one sentence."""
