"""What the server imports from which a pool's workers are forked: they begin with all of it done."""

from maestromotif.nethack.engine import branch_predictor, loader
from maestromotif.nethack.pool import worker

__all__ = ["worker"]

if loader.why_not_shared() is None:
    branch_predictor.unseen_flips()
