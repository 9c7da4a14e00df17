# provenance:
#   model: Claude (Anthropic), in a development session
#   date: 2026-11-29
#   prompt: prompts/delphi.md
#   prompt_sha256: 6a72c8df469eb7889c7dcf4f813c8928d69ad3efe7d9da497071541a89f9a358
#   score: null

class Program:
    # Go straight down the main dungeon; turn round in the Mines and look for the other way down.

    def __init__(self) -> None:
        self.patience: int = 0
        self.until_down: bool = False
        self.visits: dict[int, int] = {}
        self.next_rescue: int = 0
        self.returns: int = 0

    def in_need(self, state: GameState) -> bool:
        return state.turn >= self.next_rescue and (state.hunger >= 2 or state.hp * 3 <= state.max_hp)

    def note(self, state: GameState) -> None:
        # How often the discoverer has finished on this level of the main dungeon without leaving it.
        if state.skill == "discoverer" and state.depth == state.skill_start_depth and state.dungeon == 0:
            self.visits[state.depth] = self.visits.get(state.depth, 0) + 1

    def select(self, state: GameState, available: list[Skill]) -> Skill:
        self.note(state)
        if "survivor" in available and self.in_need(state):
            self.next_rescue = state.turn + 150
            return self.prefer("survivor", available)
        return self.to_oracle(state, available)

    def should_end(self, state: GameState) -> bool:
        if state.skill != "survivor" and self.in_need(state):
            return True
        if state.skill != "discoverer" or state.depth != state.skill_start_depth:
            return False
        if self.until_down:
            return state.downstairs_seen and state.skill_turns >= self.patience
        if state.skill_turns >= self.patience:
            return True
        return False

    def to_oracle(self, state: GameState, available: list[Skill]) -> Skill:
        # Straight down the main dungeon. A way down that led into the Mines is left again, for another one.
        if state.dungeon == 2 or state.depth > 9:
            return self.prefer("ascender", available)
        if state.at_oracle:
            return self.explore(available, 300)
        if state.skill == "ascender" and state.depth == state.branch_depth:
            self.returns += 1
            return self.explore(available, 60 + 40 * self.returns)
        return self.down(state, available)

    def prefer(self, wanted: Skill, available: list[Skill]) -> Skill:
        return wanted if wanted in available else available[0]

    def explore(self, available: list[Skill], turns: int, until_down: bool = False) -> Skill:
        self.patience, self.until_down = turns, until_down
        return self.prefer("discoverer", available)

    def down(self, state: GameState, available: list[Skill]) -> Skill:
        failed = state.skill == "descender" and state.depth == state.skill_start_depth
        if state.downstairs_seen and not failed:
            return self.prefer("descender", available)
        return self.explore(available, 30 if failed else 10, until_down=True)
