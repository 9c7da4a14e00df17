# provenance:
#   model: Claude (Anthropic), in a development session
#   date: 2026-11-28
#   prompt: prompts/down_and_back.md
#   prompt_sha256: 3007484cf3a89094a2a55b501ad164e953d6bcd3dd03cf3cf4b982c858de4fab
#   score: null

class Program:
    # Level 1: explore until the way down is seen, descend. Deeper: ascend. After a failure explore a little.

    def __init__(self) -> None:
        self.patience: int = 0

    def select(self, state: GameState, available: list[Skill]) -> Skill:
        if state.deepest >= 2 and state.depth == 1:
            return self.prefer("discoverer", available)
        failed = state.skill in ("descender", "ascender") and state.depth == state.skill_start_depth
        self.patience = 40 if failed else 0
        if not failed and state.depth >= 2:
            return self.prefer("ascender", available)
        if not failed and state.downstairs_seen:
            return self.prefer("descender", available)
        return self.prefer("discoverer", available)

    def should_end(self, state: GameState) -> bool:
        if state.skill != "discoverer" or state.skill_turns < self.patience:
            return False
        if state.depth >= 2:
            return True
        return state.deepest == 1 and state.downstairs_seen

    def prefer(self, wanted: Skill, available: list[Skill]) -> Skill:
        return wanted if wanted in available else available[0]
