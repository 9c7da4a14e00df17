"""Annotation: a language model judges captioned observations, and its answers become preferences."""
