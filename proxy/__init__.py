"""A streaming reverse proxy for LLM backends."""

__version__ = "0.1.0"
