"""Programs over skills that need no task: what a written program is compared with."""

RANDOM_SKILLS = """\
import random


class Program:
    def select(self, state: GameState, available: list[Skill]) -> Skill:
        return random.choice(available)
"""
_ONLY = """\
class Program:
    def select(self, state: GameState, available: list[Skill]) -> Skill:
        return "{skill}" if "{skill}" in available else available[0]
"""


def only(skill: str) -> str:
    """The program that calls one skill whenever it may start."""
    return _ONLY.format(skill=skill)
