# provenance:
#   model: Claude (Anthropic), through a recorded conversation
#   date: '2026-11-30'
#   prompt: prompt.md
#   prompt_sha256: 09993e30a0f3fcf829eafc7e1908ce5222d41db61c6c30a452a526a9dbe26133
#   score: 1.0
#   search: 'search refine, seed 0: 2 candidates, 16 games, 1,708 game steps, 2 answers of a model, 309 s; the budget of 2 candidates is used up; there success 100% [68%, 100%] in 8 games, progress 1.00'

class Program:
    # Kill what comes while a level is explored; eat nothing: call for help against wounds only, not hunger.

    def __init__(self) -> None:
        self.next_rescue: int = 0

    def hurt(self, state: GameState) -> bool:
        return state.turn >= self.next_rescue and state.hp * 3 <= state.max_hp

    def select(self, state: GameState, available: list[Skill]) -> Skill:
        if "survivor" in available and self.hurt(state):
            self.next_rescue = state.turn + 50
            return "survivor"
        stayed = state.depth == state.skill_start_depth
        if state.skill == "discoverer" and stayed and state.deepest <= 4:
            return self.prefer("descender", available)
        return self.prefer("discoverer", available)

    def should_end(self, state: GameState) -> bool:
        if state.skill == "survivor":
            return state.hp * 3 > state.max_hp
        if self.hurt(state):
            return True
        # Nothing to fight here: the next level has more monsters.
        return state.skill == "discoverer" and state.downstairs_seen and state.idle_steps >= 20

    def prefer(self, wanted: Skill, available: list[Skill]) -> Skill:
        return wanted if wanted in available else available[0]
