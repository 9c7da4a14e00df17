"""NetHack as an engine that takes keys: NLE's own loader, or one copy of the code for many games."""
