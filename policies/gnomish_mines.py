# provenance:
#   model: Claude (Anthropic), in a development session
#   date: 2026-11-29
#   prompt: prompts/gnomish_mines.md
#   prompt_sha256: 7f87bb6d4bea9e4416613f273127233297a008ed0df08976ee99bc2dbb897083
#   score: null

class Program:
    # Explore the levels 2 to 4 until two ways down are known on one of them, and try both.

    def __init__(self) -> None:
        self.patience: int = 0
        self.until_down: bool = False
        self.visits: dict[int, int] = {}
        self.next_rescue: int = 0

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
        if state.dungeon == 2:
            return self.prefer("descender", available)
        return self.to_mines(state, available)

    def should_end(self, state: GameState) -> bool:
        if state.skill != "survivor" and self.in_need(state):
            return True
        if state.skill != "discoverer" or state.depth != state.skill_start_depth:
            return False
        if self.until_down:
            return state.downstairs_seen and state.skill_turns >= self.patience
        if state.skill_turns >= self.patience:
            return True
        return state.branch_depth == state.depth and state.skill_turns >= 60

    def to_mines(self, state: GameState, available: list[Skill]) -> Skill:
        # Explore the levels 2 to 4 in turn; where two ways down are known, take one after the other.
        branch = state.branch_depth
        if state.depth > (branch if branch > 0 else 4):
            return self.prefer("ascender", available)
        if state.depth == branch:
            came_back = state.skill == "ascender"
            return self.explore(available, 60) if came_back else self.down(state, available)
        if branch > 0 or state.depth == 1:
            return self.down(state, available)
        if self.visits.get(state.depth, 0) < 3:
            return self.explore(available, 300)
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
