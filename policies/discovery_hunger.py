# provenance:
#   model: Claude (Anthropic), in a development session
#   date: 2026-11-29
#   prompt: prompts/discovery_hunger.md
#   prompt_sha256: 6afa2a17f6a1b602a0eded312989d57a85d452426b8252d5bec95aa6e56a0c75
#   score: null

class Program:
    # Wait in the Mines until a meal is needed and eaten, then climb out and go straight down to the Oracle.

    def __init__(self) -> None:
        self.patience: int = 0
        self.until_down: bool = False
        self.visits: dict[int, int] = {}
        self.next_rescue: int = 0
        self.returns: int = 0
        self.eaten: bool = False

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
        self.see(state)
        if self.eaten:
            return self.to_oracle(state, available)
        if state.dungeon != 2:
            return self.to_mines(state, available)
        if state.level > 2:
            return self.prefer("ascender", available)
        return self.explore(available, 300)

    def see(self, state: GameState) -> None:
        if state.dungeon == 2 and state.meals_while_hungry > 0 and state.has_eaten_in_mines:
            self.eaten = True

    def should_end(self, state: GameState) -> bool:
        before = self.eaten
        self.see(state)
        if state.skill != "survivor" and self.in_need(state):
            return True
        if state.skill != "discoverer" or state.depth != state.skill_start_depth:
            return False
        if self.eaten and not before:
            return True
        if self.until_down:
            return state.downstairs_seen and state.skill_turns >= self.patience
        if state.skill_turns >= self.patience:
            return True
        return not self.eaten and state.branch_depth == state.depth and state.skill_turns >= 60

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
