"""How far a judge's labels can be trusted."""
