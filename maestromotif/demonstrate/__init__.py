"""Demonstrations: games with the actions of the scripted explorer, for a policy to learn from."""
