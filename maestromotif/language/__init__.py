"""Language models: where their weights come from and how they are asked."""
