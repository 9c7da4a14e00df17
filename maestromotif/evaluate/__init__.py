"""Episodes on unseen seeds, with confidence intervals for their results."""
