"""MaestroMotif: NetHack skills learned from words, composed by programs that language models write.

Data flows one way: collect -> annotate -> quality -> rewards -> train -> evaluate -> report. The programs
over skills are checked first.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
