"""Imports of the server from which a pool's workers are forked, so that workers start ready.

Signals to the whole group are for the process that the server belongs to; it ends with that one.
"""

import signal
import sys

from maestromotif.nethack.engine import branch_predictor, loader
from maestromotif.nethack.pool import processes, worker

__all__ = ["worker"]

# Only in that server: whoever else imports this module keeps its signals.
if any("multiprocessing.forkserver" in word for word in sys.orig_argv):
    processes.begin_without_the_script()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if loader.why_not_shared() is None:
        branch_predictor.unseen_flips()
