# provenance:
#   model: Claude (Anthropic), in a development session
#   date: 2026-11-29
#   prompt: prompts/survivor.md
#   prompt_sha256: b629c37720f8c85228e5a7aca96567f2810ff772a9cf932b2210b7dad5d01296
#   text: survivor.md
#   text_sha256: 880a38ac2146f3a13608ca23296f9cbd55c733d1b9fc1bac5110702e1b8db899
#   score: null

MAX_TURNS = 100
MAX_STEPS = 60


def may_start(state: GameState) -> bool:
    return state.hunger >= 2 or state.hp * 3 <= state.max_hp


def should_end(state: GameState) -> bool:
    if state.skill_turns >= MAX_TURNS or state.skill_steps >= MAX_STEPS:
        return True
    return state.hunger <= 1 and state.hp * 3 > state.max_hp
