# provenance:
#   model: Claude (Anthropic), in a development session
#   date: 2026-11-23
#   prompt: prompts/training.md
#   prompt_sha256: 3caff3a18bab30bfedc4321280b65921c886937028c22f304779efa7c5508d94
#   score: null

import random


class Program:
    # Explore, take the stairs as soon as they are known, turn round half of the time, try again after failures.

    def __init__(self) -> None:
        self.max_depth: int = random.randint(2, 4)
        self.going_down: bool = True
        self.patience: int = 20
        self.can_ascend: bool = False

    def select(self, state: GameState, available: list[Skill]) -> Skill:
        names: list[str] = [str(skill) for skill in available]
        if "ascender" in names:
            self.can_ascend = True

        for skill in available:
            if skill == "merchant" or skill == "worshipper":
                if skill != state.skill or random.random() < 0.5:
                    return skill

        known = ["discoverer", "descender", "ascender", "merchant", "worshipper"]
        others = [skill for skill in available if skill not in known]
        if others and random.random() < len(others) / len(available):
            return random.choice(others)

        moved = state.skill != "" and state.depth != state.skill_start_depth
        if moved:
            # Half of the time straight back: the agent stands on the stairs that it came by.
            if random.random() < 0.5:
                self.going_down = state.depth < state.skill_start_depth
            else:
                self.going_down = state.depth > state.skill_start_depth
        if self.can_ascend and state.depth >= self.max_depth:
            self.going_down = False
        if state.depth == 1 or not self.can_ascend:
            self.going_down = True

        wanted = "descender" if self.going_down else "ascender"
        explored = state.skill == "discoverer" and not moved
        straight = moved and random.random() < 0.6
        if wanted in names and self.stairs_seen(state) and (explored or straight):
            return self.find(wanted, available)
        self.patience = random.randint(20, 100)
        if "discoverer" in names:
            return self.find("discoverer", available)
        return self.find(wanted, available)

    def should_end(self, state: GameState) -> bool:
        return state.skill == "discoverer" and self.stairs_seen(state) and state.skill_turns >= self.patience

    def stairs_seen(self, state: GameState) -> bool:
        return state.downstairs_seen if self.going_down else state.upstairs_seen

    def find(self, name: str, available: list[Skill]) -> Skill:
        for skill in available:
            if skill == name:
                return skill
        return available[-1]
