# provenance:
#   model: Claude (Anthropic), through a recorded conversation
#   date: '2026-11-30'
#   prompt: prompt.md
#   prompt_sha256: 77b442dea2260c04632bb8f7ced922b184499a2a9fe5f3b4f2d7d7ef23410e82
#   score: 1.0
#   search: 'search refine, seed 0: 2 candidates, 16 games, 1,408 game steps, 2 answers of a model, 257 s; the budget of 2 candidates is used up; there success 100% [68%, 100%] in 8 games, progress 1.00'

class Program:
    # Explore a level until nothing new comes into view, then try the next one; rest only when badly hurt.

    def __init__(self) -> None:
        self.done: bool = False
        self.next_rescue: int = 0

    def in_need(self, state: GameState) -> bool:
        return state.turn >= self.next_rescue and (state.hunger >= 3 or state.hp * 3 <= state.max_hp)

    def select(self, state: GameState, available: list[Skill]) -> Skill:
        if "survivor" in available and self.in_need(state):
            self.next_rescue = state.turn + 100
            return "survivor"
        stayed = state.depth == state.skill_start_depth
        if state.skill == "discoverer":
            self.done = stayed
        elif state.skill == "descender" and stayed:
            self.done = False
        elif state.skill == "descender":
            self.done = False
        if self.done:
            return self.prefer("descender", available)
        return self.prefer("discoverer", available)

    def should_end(self, state: GameState) -> bool:
        if state.skill == "survivor":
            return False
        if self.in_need(state):
            return True
        # A level that shows nothing new for long is small or blocked: the next one may be larger.
        return state.skill == "discoverer" and state.idle_steps >= 60 and state.downstairs_seen

    def prefer(self, wanted: Skill, available: list[Skill]) -> Skill:
        return wanted if wanted in available else available[0]
