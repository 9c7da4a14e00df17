"""The player, scripts and styles of a replay's page.

A package, so that `pipeline.code` counts them for stages that write pages, and not for those that keep
episodes.
"""
