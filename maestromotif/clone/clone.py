"""The stage `clone`: a policy that acts like the demonstrations (behaviour cloning, Pomerleau 1991).

The demonstrations are played again in real games (`glances`), and the network learns by cross-entropy what
the explorer would have played (`imitation`). How many of its actions a clone predicts says little about how
it plays, so `evaluate` has a row for it. The policy's values stay as they began: training's critic learns
them first (`train.teacher.critic_first`).

A run that was killed resumes from its last finished epoch to the same parameters, bit for bit.
"""

import json
import logging
import shlex
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import serialization

from maestromotif.agent.network import build
from maestromotif.agent.policy import POLICY
from maestromotif.agent.saved_policy import policy_bytes
from maestromotif.clone.glances import Again
from maestromotif.clone.imitation import Cloned, Imitation, Sums, added, batches, batches_of
from maestromotif.config.schema import Config
from maestromotif.demonstrate.recordings import FILE, read
from maestromotif.errors import UserError
from maestromotif.nethack.rcfile import options_file
from maestromotif.pipeline.progress import Progress
from maestromotif.pipeline.store import SCRATCH, Artefact, Work, file_contents
from maestromotif.pipeline.trees import read_tree, refusing, tree_bytes
from maestromotif.skill import skill_files
from maestromotif.tracking.logged import Logged
from maestromotif.tracking.tracker import SILENT, Tracker

log = logging.getLogger("maestromotif")

LOGGED = (
    Logged(
        "bc/loss", "nats", "Cross-entropy of the labels, mean over the labelled steps of an epoch.", "min"
    ),
    Logged("bc/loss_held_out", "nats", "The same in held-out episodes.", "min"),
    Logged(
        "bc/accuracy_held_out", "share", "Share of held-out labels that are the most likely action.", "max"
    ),
    Logged("bc/forbidden", "share", "Share of the labels that the mask of useless actions forbids."),
    Logged("bc/{skill}/accuracy_held_out", "share", "The accuracy on the skill's steps alone.", "max"),
)

_GLANCES = f"{SCRATCH}/glances"
_EPOCH = f"{SCRATCH}/epoch.msgpack"
_LABELS = ("labels", "actions")


def reads(config: Config) -> dict[str, str]:
    """The files of game and skills, and given demonstrations -> SHA-256. Raises UserError."""
    given = config.clone.demonstrations
    files = {} if given is None else file_contents("clone.demonstrations", given)
    return options_file(config) | skill_files(config) | files


def foresee(config: Config) -> None:
    """Raises UserError if there are no demonstrations, or the given ones are not for this config."""
    given = config.clone.demonstrations
    if given is not None:
        read(Path(given), config)
    elif "demonstrate" not in config.run.further:
        _demonstrations(config, {})


def run(config: Config, inputs: dict[str, Artefact], work: Work, tracker: Tracker = SILENT) -> dict[str, Any]:
    settings, seed = config.clone, config.run.seed
    recordings = read(_demonstrations(config, inputs), config)
    random = np.random.default_rng((seed, 0))
    learn, held_out = _sides(len(recordings), settings.held_out, random)
    hidden = np.zeros(len(recordings), bool)
    hidden[learn] = random.random(len(learn)) < settings.hide_action
    lengths = [len(one.actions) for one in recordings]
    network = build(config.train.network, len(config.skills))
    again = Again(config, network, recordings, hidden, work.path / _GLANCES)
    with Progress("clone: playing again", sum(lengths), "steps") as progress:
        steps = again.steps(progress)

    spans = [*pairwise(np.cumsum([0, *lengths]).tolist())]
    size = settings.batch, settings.sequence
    imitation = Imitation(network, settings.learning_rate, settings.batch)
    state, rows = _latest(work, imitation.fresh(seed))
    each = batches_of(sum(lengths[number] for number in learn), *size)
    with Progress("clone", each * settings.epochs, "updates", each * len(rows), tracker=tracker) as progress:
        for epoch in range(len(rows), settings.epochs):
            order = np.random.default_rng((seed, 1, epoch)).permutation(learn).tolist()
            sums = []
            for after, one in imitation.learn(state, batches(steps, [spans[e] for e in order], *size)):
                state = after
                sums.append(one)
                progress.advance()
            judged = imitation.judge(state.params, batches(steps, [spans[e] for e in held_out], *size))
            rows.append(_row(config.skills, added(sums), judged))
            tracker.row(progress.done, {f"bc/{name}": value for name, value in rows[-1].items()})
            _save(work, state, rows)

    work.write_bytes(POLICY, policy_bytes(config, jax.tree.map(np.array, state.params)))
    labels, played = (np.concatenate([getattr(one, name) for one in recordings]) for name in _LABELS)
    return {
        "recordings": len(recordings),
        "held_out": len(held_out),
        "steps": len(labels),
        "labelled": int((labels >= 0).sum()),
        "played_as_labelled": int((labels == played).sum()),
        "epochs": rows,
    }


def _latest(work: Work, fresh: Cloned) -> tuple[Cloned, list[dict[str, float]]]:
    """The state after the last finished epoch, and the figures of all epochs so far."""
    path = work.path / _EPOCH
    if not path.is_file():
        return fresh, []
    remedy = f"remove {shlex.quote(str(path))} to begin again"
    saved = read_tree(path, "a checkpoint", "rows", remedy=remedy)
    with refusing(path, "a checkpoint", remedy):
        rows = json.loads(saved.pop("rows"))
        state: Cloned = serialization.from_state_dict(fresh, saved)
    log.info("clone: going on after epoch %d", len(rows))
    return state, rows


def _save(work: Work, state: Cloned, rows: Sequence[Mapping[str, float]]) -> None:
    saved = serialization.to_state_dict(jax.tree.map(np.array, state)) | {"rows": json.dumps(rows)}
    work.write_bytes(_EPOCH, tree_bytes(saved))


def _demonstrations(config: Config, inputs: dict[str, Artefact]) -> Path:
    if config.clone.demonstrations is not None:
        return Path(config.clone.demonstrations)
    if "demonstrate" not in inputs:
        raise UserError(
            "clone.demonstrations: is null, and this run makes no demonstrations; add demonstrate to "
            "run.further, or name a file that the stage 'demonstrate' has written"
        )
    return inputs["demonstrate"].path / FILE


def _sides(count: int, share: float, random: np.random.Generator) -> tuple[list[int], list[int]]:
    """Numbers of the recordings to learn from, and of those held out. Raises UserError for fewer than two."""
    if count < 2:
        raise UserError(f"demonstrations: {count} episodes; one to learn from and one held out are needed")
    held_out = min(max(1, round(share * count)), count - 1)
    drawn = random.permutation(count).tolist()
    return sorted(drawn[held_out:]), sorted(drawn[:held_out])


def _row(skills: Sequence[str], learned: Sums, held_out: Sums) -> dict[str, float]:
    """The figures of an epoch; those without a labelled step are left out."""
    shares = {
        "loss": (learned.loss.sum(), learned.steps.sum()),
        "loss_held_out": (held_out.loss.sum(), held_out.steps.sum()),
        "accuracy_held_out": (held_out.right.sum(), held_out.steps.sum()),
        "forbidden": (learned.forbidden.sum(), learned.steps.sum() + learned.forbidden.sum()),
        **{
            f"{name}/accuracy_held_out": (held_out.right[k], held_out.steps[k])
            for k, name in enumerate(skills)
        },
    }
    return {name: round(float(part / whole), 6) for name, (part, whole) in shares.items() if whole}
