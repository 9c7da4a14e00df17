"""What a run shows to people: the report, the replay in it, and the same in wandb."""
