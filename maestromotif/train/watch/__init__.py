"""Evaluation during training. It changes nothing that is learned, so `pipeline.code` leaves its code out."""
