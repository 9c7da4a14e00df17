# provenance:
#   model: Claude (Anthropic), through a recorded conversation
#   date: '2026-11-30'
#   prompt: prompt.md
#   prompt_sha256: 55fa9edd0999c88046ffb63ab56e17ffc6e3d33615e7471786195aa6f94acdb1
#   score: 0.8438
#   search: 'search refine, seed 0: 4 candidates, 32 games, 12,382 game steps, 4 answers of a model, 539 s; the budget of 4 candidates is used up; there success 100% [68%, 100%] in 8 games, progress 1.00'

class Program:
    # Explore level after level from the top, fight and gather there; go on when a level shows nothing new.

    def __init__(self) -> None:
        self.next_rescue: int = 0
        self.calls: dict[int, int] = {}

    def in_need(self, state: GameState) -> bool:
        if state.turn < self.next_rescue:
            return False
        return state.hp * 3 <= state.max_hp or state.hunger >= 2

    def select(self, state: GameState, available: list[Skill]) -> Skill:
        stayed = state.skill != "" and state.depth == state.skill_start_depth
        if state.skill == "discoverer" and stayed:
            self.calls[state.depth] = self.calls.get(state.depth, 0) + 1
        if "survivor" in available and self.in_need(state):
            self.next_rescue = state.turn + 100
            return "survivor"
        if state.skill == "descender" and stayed:
            return self.prefer("discoverer", available)
        if self.calls.get(state.depth, 0) >= 1 and state.depth < 5:
            return self.prefer("descender", available)
        return self.prefer("discoverer", available)

    def should_end(self, state: GameState) -> bool:
        if state.skill == "survivor":
            return False
        if self.in_need(state):
            return True
        # After a while without new squares the items of this level are taken or out of reach.
        return state.skill == "discoverer" and state.downstairs_seen and state.idle_steps >= 40

    def prefer(self, wanted: Skill, available: list[Skill]) -> Skill:
        return wanted if wanted in available else available[0]
