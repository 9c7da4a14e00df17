"""Where a run can be followed from outside: Weights & Biases."""
