"""What a run logs while it goes on: an append-only journal, and Weights & Biases, which follows it."""
