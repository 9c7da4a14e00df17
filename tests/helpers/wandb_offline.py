"""What wandb's files of an offline run hold, read by wandb's own tool."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def inspect(folder: Path) -> list[dict[str, Any]]:
    """The records of one process."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]


def folders(run: Path) -> list[Path]:
    """One for each process of a run, in their order."""
    return sorted((run / "wandb").glob("offline-run-*"))


def history(run: Path) -> list[dict[str, Any]]:
    """The logged rows of all processes of a run, in the order in which `wandb sync` uploads them."""
    records = [record for folder in folders(run) for record in inspect(folder)]
    return [record["history"]["item"] for record in records if record["type"] == "history"]
