"""The whole path in a minute: every stage real, every number small."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]

CONFIG = """\
run: {{name: tiny, root: "{root}", further: [soup, demonstrate, clone]}}
skills: [{skills}]
skills_folder: "{skills_folder}"
tasks: [{tasks}]
tasks_folder: "{tasks_folder}"
compose: {{programs: {{down: "{program}", down_and_back: "{program}"}}}}
nethack: {{games: 8, workers: 2, max_steps: 120}}
collect: {{explorer_steps: 3200, random_steps: 1600, arena_steps: 240, max_steps: 200}}
language: {{model: smollm2-135m-instruct}}
annotate:
  captions: 12
  pairs: 60
  chunk: 4
  answer_mass: 0.001  # so small a model hardly ever answers with one of the choices
  changes: [depth, explored, downstairs, upstairs]
  answers: "{root}/answers"
curate: {{again_pairs: 2}}
distil: {{epochs: 4, batch: 32}}
soup: {{folds: 3, experts: 1, epochs: 1}}
gate: {{enforce: false}}  # a model of 135 million parameters does not judge
reward: {{quantile: 0.5}}
demonstrate: {{steps: 1600, max_steps: 100}}
clone: {{epochs: 2, batch: 8, sequence: 8}}
train:
  steps: 6144
  rollout: 16
  minibatches: 2
  curve_steps: 512
  checkpoint_steps: 512
  teacher: {{policy: cloned, critic_first: 1024, steps: 3072}}
  network: {{hidden: 16}}
evaluate: {{episodes: 16, max_steps: 60}}
tracking: {{wandb: disabled}}
"""


def write_config(
    folder: Path,
    skills: str = "discoverer, descender, ascender",
    skills_folder: Path = ROOT / "skills",
    tasks: str = "down",
) -> Path:
    """A config file in `folder` whose run lies in `folder`/runs/tiny."""
    path = folder / "tiny.yaml"
    program = ROOT / "policies" / "down_and_back.py"
    folders = {"root": folder / "runs", "skills_folder": skills_folder, "tasks_folder": ROOT / "tasks"}
    text = CONFIG.format(**folders, skills=skills, tasks=tasks, program=program)
    path.write_text(text)
    return path


def environment(**further: str) -> dict[str, str]:
    """Of processes that tests start: what one of them has compiled the others need not compile again."""
    compiled = Path(tempfile.gettempdir()) / f"maestromotif-tests-{os.getuid()}" / "compiled"
    return {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(compiled),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_NUMPY_RANK_PROMOTION": "allow",
        **further,
    }


def start(verb: str, config: Path, *overrides: str) -> subprocess.Popen[str]:
    """The command line as a user starts it, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "maestromotif", verb, str(config), *overrides],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(verb: str, config: Path, *overrides: str, timeout: float = 600) -> str:
    """Run to the end; returns what was printed."""
    process = start(verb, config, *overrides)
    output, _ = process.communicate(timeout=timeout)
    assert process.returncode == 0, output
    return output
