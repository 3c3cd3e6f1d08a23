"""Several workers behind one address: starts them, restarts them, ends them, and knows what only all of them together know."""

from proxy.supervisor.channel import Channel, ChannelClosed
from proxy.supervisor.parcel import pack, unpack
from proxy.supervisor.supervisor import Supervisor, run

__all__ = ["Channel", "ChannelClosed", "Supervisor", "pack", "run", "unpack"]
