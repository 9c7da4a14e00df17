"""Many games stepped together by worker processes."""

from maestromotif.nethack.pool.pool import GamePool, open_pool

__all__ = ["GamePool", "open_pool"]
