"""Everything that touches the game, and nothing else."""
