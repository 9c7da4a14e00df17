"""Reward models: distilled from preferences, applied to the steps of a game."""
