# provenance:
#   model: Claude (Anthropic), through a recorded conversation
#   date: '2026-11-30'
#   prompt: prompt.md
#   prompt_sha256: 45cc65fa34fe21186e2a8c7e199286ce6a8e0098b6f2a8a4d338f608e19d3c3b
#   score: 0.6875
#   search: 'search refine, seed 0: 3 candidates, 24 games, 3,784 game steps, 3 answers of a model, 404 s; the budget of 3 candidates is used up; there success 75% [41%, 93%] in 8 games, progress 0.75'

class Program:
    # Explore, which seldom eats, until wounds or hunger (weak at about turn 900) allow a prayer; then pray.

    def __init__(self) -> None:
        self.low: int = 0

    def can_pray(self, state: GameState) -> bool:
        # A god helps with hit points below 6 or hunger of 3, not before turn 300.
        return (state.hp < 6 and state.turn >= 300) or state.hunger >= 3

    def select(self, state: GameState, available: list[Skill]) -> Skill:
        if self.can_pray(state) and "survivor" in available:
            return "survivor"
        return "discoverer" if "discoverer" in available else available[0]

    def should_end(self, state: GameState) -> bool:
        if state.skill == "survivor":
            return not self.can_pray(state)
        return self.can_pray(state)
