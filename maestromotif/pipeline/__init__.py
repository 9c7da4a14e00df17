"""How stages are run: the table of stages, the runner, the artefacts on disk, progress."""
