"""Names that the replay still takes from here; they live in `colours`."""

from maestromotif.report.colours import colour, legend

__all__ = ["colour", "legend"]
