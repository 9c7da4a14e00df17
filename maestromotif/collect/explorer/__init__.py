"""A scripted explorer, so that observations need no trained agent."""
