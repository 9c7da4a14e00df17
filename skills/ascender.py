# provenance:
#   model: Claude (Anthropic), in a development session
#   date: 2026-11-23
#   prompt: prompts/program.md
#   prompt_sha256: 3de5496ead07663e50ad544ae1567ed7cb7b8b4c86a9af09acac512506bfdb87
#   text: ascender.md
#   text_sha256: 4a88980fc59b9cbdef7e7969b7f9e749bb1dc2264de4116ff48614eb846c158d
#   score: null

MAX_TURNS = 200
MAX_STEPS = 400


def may_start(state: GameState) -> bool:
    return state.depth >= 2


def should_end(state: GameState) -> bool:
    if state.depth != state.skill_start_depth:
        return True
    return state.skill_turns >= MAX_TURNS or state.skill_steps >= MAX_STEPS
