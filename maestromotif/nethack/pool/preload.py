"""Imports of the server from which a pool's workers are forked, so that workers start ready."""

from maestromotif.nethack.engine import branch_predictor, loader
from maestromotif.nethack.pool import worker

__all__ = ["worker"]

if loader.why_not_shared() is None:
    branch_predictor.unseen_flips()
