# provenance:
#   model: Claude (Anthropic), through a recorded conversation
#   date: '2026-11-30'
#   prompt: prompt.md
#   prompt_sha256: b05ccf81e03f575990693b76621a83c45b0691aa618c36fb92ac49d1c24e5a69
#   score: 0.0
#   search: 'search refine, seed 0: 5 candidates, 40 games, 4,681 game steps, 5 answers of a model, 634 s; the budget of 5 candidates is used up; there success 0% [0%, 32%] in 8 games, progress 0.00'

class Program:
    # Hurry down, which gathers nothing, until wounds make a prayer possible; pray; then look for items.

    def __init__(self) -> None:
        self.pause: int = 0

    def can_pray(self, state: GameState) -> bool:
        return state.prayers == 0 and (state.hp * 3 <= state.max_hp or state.hunger >= 3)

    def select(self, state: GameState, available: list[Skill]) -> Skill:
        if self.can_pray(state) and "survivor" in available and state.step >= self.pause:
            self.pause = state.step + 5
            return "survivor"
        if state.prayers > 0:
            if state.hp * 3 <= state.max_hp and state.skill != "survivor" and "survivor" in available:
                return "survivor"
            quiet = state.skill == "discoverer" and state.depth == state.skill_start_depth
            if quiet and state.downstairs_seen:
                return self.prefer("descender", available)
            return self.prefer("discoverer", available)
        # The stairs are found by the descender itself; it picks up less than the discoverer.
        return self.prefer("descender", available)

    def should_end(self, state: GameState) -> bool:
        if state.skill == "survivor":
            return state.prayers > 0
        return self.can_pray(state) and state.step >= self.pause

    def prefer(self, wanted: Skill, available: list[Skill]) -> Skill:
        return wanted if wanted in available else available[0]
