"""What the server imports from which a pool's workers are forked: they begin with all of it done."""

from maestromotif.nethack import addresses, library, worker

__all__ = ["worker"]

if library.why_not_shared() is None:
    addresses.unseen_flips()
