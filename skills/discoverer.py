# provenance:
#   model: Claude (Anthropic), in a development session
#   date: 2026-11-23
#   prompt: prompts/program.md
#   prompt_sha256: 3de5496ead07663e50ad544ae1567ed7cb7b8b4c86a9af09acac512506bfdb87
#   text: discoverer.md
#   text_sha256: 49503e0e481b1b7a47b83a399b668a7d50b9db69fb595908359101e043450c06
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
