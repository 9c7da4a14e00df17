# provenance:
#   model: qwen2.5-coder-1.5b-instruct
#   date: '2026-11-30'
#   prompt: prompt.md
#   prompt_sha256: 84e58f4de68bfae35f4ae5637cbd2ebefd6f3885d6ce573f848c3a1071d8a86a
#   score: 0.9062
#   search: 'search greedy, seed 0: 4 candidates, 24 games, 5,361 game steps, 4 answers of a model, 321 s; the budget of 300.0 seconds is used up; there success 75% [41%, 93%] in 8 games, progress 0.75'

RULES: list[Skill] = ["worshipper", "discoverer"]
REASONS: list[str] = ["when after(prayers >= 1)", "otherwise"]


class Program:
    # Pray, and do so without once eating.
    #
    # It was made of this table. The first rule that holds names the skill:
    #   when after(prayers >= 1) use worshipper
    #   otherwise use discoverer

    def __init__(self) -> None:
        self.running: int = -1  # number of the rule whose skill runs
        self.interrupted: bool = False
        self.resting: str = ""  # a skill that failed: it ended on its level and is still asked for
        self.rested: int = 0  # step at which it may act again
        self.quiet: int = 0  # step from which on no skill rests and none is refused
        self.refused: list[int] = [0] * len(RULES)  # until this step a rule's skill cannot start
        self.reason: str = ""  # the condition of the rule, for replays
        self.came: list[int] = [0]  # stages met of each `after`

    def select(self, state: GameState, available: list[Skill]) -> Skill:
        self.note(state)
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
        self.note(state)
        number = self.choose(state)
        self.interrupted = number != self.running and RULES[number] != state.skill
        return self.interrupted

    def choose(self, state: GameState) -> int:
        # The first rule that holds, but for those whose skill rests or cannot start.
        quiet = state.step >= self.quiet
        if self.came[0] == 1 and (quiet or self.ready(0, state)):
            return 0
        return 1

    def ready(self, number: int, state: GameState) -> bool:
        rests = RULES[number] == self.resting and state.step < self.rested
        return not rests and state.step >= self.refused[number]

    def note(self, state: GameState) -> None:
        if self.came[0] == 0 and state.prayers >= 1:
            self.came[0] = 1
