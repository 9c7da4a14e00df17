"""Runs stages: the table of stages, the runner, the artefacts on disk, progress."""
