"""Demonstrations: recordings of the scripted explorer, to learn from."""
