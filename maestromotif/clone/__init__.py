"""Behaviour cloning: a policy that acts like the demonstrations."""
