# provenance:
#   model: Claude (Anthropic), in a development session
#   date: 2026-11-29
#   prompt: prompts/golden_exit.md
#   prompt_sha256: a39fbf50a7425d92084699e41864412e7081585c654f4f838d66d4eb49aa6a87
#   score: null

class Program:
    # Fight and collect gold on the levels 1 to 4; with enough of both climb to level 1 and leave.

    def __init__(self) -> None:
        self.patience: int = 0
        self.until_down: bool = False
        self.visits: dict[int, int] = {}
        self.next_rescue: int = 0
        self.climbing: bool = False

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
        if state.kills >= 25 and state.gold >= 20 and state.deepest >= 3:
            if "ascender" in available:
                return self.prefer("ascender", available)
            return self.explore(available, 100)
        if state.depth > 4 or state.dungeon == 2:
            return self.prefer("ascender", available)
        if self.visits.get(state.depth, 0) < 2:
            return self.explore(available, 300)
        if state.depth == 4:
            self.climbing = True
        if state.depth == 1:
            self.climbing = False
        if self.climbing and state.kills < 25 and state.skill == "discoverer":
            self.visits[state.depth - 1] = 1
            return self.prefer("ascender", available)
        if state.depth == 4:
            return self.explore(available, 300)
        return self.down(state, available)

    def should_end(self, state: GameState) -> bool:
        if state.skill != "survivor" and self.in_need(state):
            return True
        if state.skill != "discoverer" or state.depth != state.skill_start_depth:
            return False
        if self.until_down:
            return state.downstairs_seen and state.skill_turns >= self.patience
        if state.skill_turns >= self.patience:
            return True
        return state.kills >= 25 and state.gold >= 20 and state.deepest >= 3

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
