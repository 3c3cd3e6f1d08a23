"""What many tests stand on: a scripted upstream, a raw client, reference decoders, generated streams, real programs."""
