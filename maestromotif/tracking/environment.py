"""What the environment asks of wandb. It counts where the config says `auto`."""

import os

MODE = "WANDB_MODE"  # one of wandb's own variables


def wished_mode() -> str:
    """The mode: disabled, offline, or anything else for no wish."""
    asked = os.environ.get(MODE, "").strip().lower()
    return {"dryrun": "offline"}.get(asked, asked)
