# provenance:
#   model: Claude (Anthropic), in a development session
#   date: 2026-11-23
#   prompt: prompts/program.md
#   prompt_sha256: 3de5496ead07663e50ad544ae1567ed7cb7b8b4c86a9af09acac512506bfdb87
#   text: discoverer.md
#   text_sha256: 1df7606f90fb44b4a86908cd70528c2b7f96760707ee2fc57e34dd822f62a4e1
#   score: null

MAX_TURNS = 300
MAX_STEPS = 600
IDLE_STEPS = 100


def may_start(state: GameState) -> bool:
    return True


def should_end(state: GameState) -> bool:
    if state.depth != state.skill_start_depth:
        return True
    if state.skill_turns >= MAX_TURNS or state.skill_steps >= MAX_STEPS:
        return True
    # The level may have been quiet for long before this call began; give each call its own chance.
    return min(state.idle_steps, state.skill_steps) >= IDLE_STEPS
