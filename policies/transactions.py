# provenance:
#   model: Claude (Anthropic), in a development session
#   date: 2026-11-29
#   prompt: prompts/transactions.md
#   prompt_sha256: 2828a7e429e400ceab7754bdeec0cb74b0a7e9cd36584fd50d710dc7e4c69e0d
#   score: null

class Program:
    # Collect items on the first levels, sell wherever there is a shopkeeper, and go on to Minetown.

    def __init__(self) -> None:
        self.patience: int = 0
        self.until_down: bool = False
        self.visits: dict[int, int] = {}
        self.next_rescue: int = 0
        self.pause_until: int = 0

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
        if state.skill == "merchant":
            self.pause_until = state.turn + 80
        if "merchant" in available and state.turn >= self.pause_until:
            return self.prefer("merchant", available)
        if state.dungeon == 2 and state.in_minetown:
            return self.explore(available, 120)
        if state.dungeon == 2 and state.level > 4:
            return self.prefer("ascender", available)
        if state.dungeon == 2:
            return self.down(state, available)
        if state.depth <= 4 and self.visits.get(state.depth, 0) < 2:
            return self.explore(available, 300)
        return self.to_mines(state, available)

    def should_end(self, state: GameState) -> bool:
        if state.skill != "survivor" and self.in_need(state):
            return True
        if state.skill == "discoverer" and self.may_trade(state) and state.turn >= self.pause_until:
            return True
        if state.skill != "discoverer" or state.depth != state.skill_start_depth:
            return False
        if self.until_down:
            return state.downstairs_seen and state.skill_turns >= self.patience
        return state.skill_turns >= self.patience

    def may_trade(self, state: GameState) -> bool:
        return state.shopkeeper_in_view and state.sellable_items > 0

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
