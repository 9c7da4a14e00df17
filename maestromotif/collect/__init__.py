"""From play to observations: who plays, what is recorded, and how it is put into words."""
