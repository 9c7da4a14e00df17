"""Configs: everything that can be set, and how YAML files and overrides are read into it."""
