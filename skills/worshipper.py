# provenance:
#   model: Claude (Anthropic), in a development session
#   date: 2026-11-23
#   prompt: prompts/program.md
#   prompt_sha256: 3de5496ead07663e50ad544ae1567ed7cb7b8b4c86a9af09acac512506bfdb87
#   text: worshipper.md
#   text_sha256: 928dd194848f3b218c19d13e463b67d6c0382cf93ff75102889b22b9ffca5dbe
#   score: null

MAX_TURNS = 200
MAX_STEPS = 400


def may_start(state: GameState) -> bool:
    return state.altar_in_view and state.sellable_items > 0


def should_end(state: GameState) -> bool:
    if state.depth != state.skill_start_depth or state.sellable_items == 0:
        return True
    return state.skill_turns >= MAX_TURNS or state.skill_steps >= MAX_STEPS
