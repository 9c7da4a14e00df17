"""What a run shows to people: one page with figures and a replay, and the same in wandb."""
