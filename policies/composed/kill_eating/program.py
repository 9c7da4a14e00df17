# provenance:
#   model: qwen2.5-coder-1.5b-instruct
#   date: '2026-11-30'
#   prompt: prompt.md
#   prompt_sha256: d756ed3747dc3fe93b0e079b235dc0a9c3657a6c04e1369b38f254f1a5c7baa4
#   score: 1.0
#   search: 'search greedy, seed 0: 1 candidate, 32 games, 3,317 game steps, 1 answer of a model, 87 s; candidate 1 achieved the task in all 32 games; there success 100% [89%, 100%] in 32 games, progress 1.00'

RULES: list[Skill] = ["descender", "discoverer"]
REASONS: list[str] = ["when kills >= 3 and downstairs_seen", "otherwise"]


class Program:
    # Without ever finishing a meal, kill three monsters.
    #
    # It was made of this table. The first rule that holds names the skill:
    #   when kills >= 3 and downstairs_seen use descender
    #   otherwise use discoverer

    def __init__(self) -> None:
        self.running: int = -1  # number of the rule whose skill runs
        self.interrupted: bool = False
        self.resting: str = ""  # a skill that failed: it ended on its level and is still asked for
        self.rested: int = 0  # step at which it may act again
        self.quiet: int = 0  # step from which on no skill rests and none is refused
        self.refused: list[int] = [0] * len(RULES)  # until this step a rule's skill cannot start
        self.reason: str = ""  # the condition of the rule, for replays

    def select(self, state: GameState, available: list[Skill]) -> Skill:
        number = self.choose(state)
        failed = not self.interrupted and state.skill != "" and state.depth == state.skill_start_depth
        if failed and state.skill == RULES[number]:
            self.resting, self.rested = state.skill, state.step + 40
            self.quiet = max(self.quiet, self.rested)
            number = self.choose(state)
        for _ in RULES:
            if RULES[number] in available:
                break
            self.refused[number] = state.step + 20
            self.quiet = max(self.quiet, self.refused[number])
            number = self.choose(state)
        self.running, self.interrupted = number, False
        if RULES[number] not in available:
            self.reason = "no skill of the table can start"
            return available[0]
        self.reason = REASONS[number]
        return RULES[number]

    def should_end(self, state: GameState) -> bool:
        number = self.choose(state)
        self.interrupted = number != self.running and RULES[number] != state.skill
        return self.interrupted

    def choose(self, state: GameState) -> int:
        # The first rule that holds, but for those whose skill rests or cannot start.
        quiet = state.step >= self.quiet
        if state.kills >= 3 and state.downstairs_seen and (quiet or self.ready(0, state)):
            return 0
        return 1

    def ready(self, number: int, state: GameState) -> bool:
        rests = RULES[number] == self.resting and state.step < self.rested
        return not rests and state.step >= self.refused[number]
