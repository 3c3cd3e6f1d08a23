"""The diagnosis command: talks to a proxy through each hop before it, and says which of them spoils streams, and what mends it."""
