"""The programs of a run, checked before they may run."""
