"""From play to observations: who plays, what is kept of it, and how it is said in words."""
