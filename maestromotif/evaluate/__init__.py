"""Episodes on unseen seeds, and how sure one may be of their outcome."""
