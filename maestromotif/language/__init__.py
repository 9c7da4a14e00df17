"""Language models: their weights and the backends that run them."""
