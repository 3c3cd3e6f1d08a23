"""Puts settings into a message for a worker, so that it serves under what its supervisor has read and not under what the file says by then.

Pickled, because a JSON text of settings has its secrets masked. Both ends are one program, and the socket between them has
no name that anybody else could open.
"""

from __future__ import annotations

import base64
import pickle

from proxy.settings import Settings


def pack(settings: Settings) -> str:
    """Return *settings*, secrets included, as a text for a channel and for nothing else."""
    return base64.b64encode(pickle.dumps(settings)).decode()


def unpack(text: str) -> Settings:
    """Return the settings that `pack` has put into *text*."""
    settings = pickle.loads(base64.b64decode(text))  # noqa: S301 - from our own supervisor, see above
    assert isinstance(settings, Settings)
    return settings
