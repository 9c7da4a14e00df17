"""MaestroMotif: NetHack skills learned from words, composed by programs that language models write.

Data flows one way: nethack -> preferences -> rewards -> learning -> composing -> evaluation -> dashboard.
"""

__version__ = "0.1.0"
