"""Config: the schema of all settings, and loading it from YAML files and overrides."""
