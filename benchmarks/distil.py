"""Speed of distillation against a plain PyTorch loop of the published network. Ends with one line of JSON.

    python benchmarks/distil.py --torch-python PYTHON [--batches 3] [--rounds 3]
        [--epochs 20] [--batch 1000] [--scale 1.0]

PYTHON is an interpreter with PyTorch, which this package does not depend on; for example:

    python -m venv .venv-torch && .venv-torch/bin/pip install torch==2.13.0 numpy

Without it, only our networks are timed, and the figures that compare with PyTorch are null.

Both learn five skills from 80,000, 80,000, 180,000, 121,000 and 200,000 pairs in batches of 1000 for 20
epochs, as published, with one model per skill. The pairs are synthetic and the same for both: 6,000 distinct
messages built from the game's names, drawn with frequency 1/rank, each with a random change of depth.

torch          the published network in a plain loop: messages of 256 bytes, both of every pair, one batch
               after another, Adam
same network   the published network as distilled here
default        our default network as distilled here

Twenty epochs of the first two take hours. So a few batches of each are timed by turns, after one untimed
batch, and multiplied by the number of batches. Our batches cover all five skills at once; their time includes
host work, and compilation once. The default network is trained completely, with held-out losses. Ratios are
medians over rounds.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from nle import nethack

from maestromotif.config.labels import DistilSettings
from maestromotif.rewards import fit
from maestromotif.rewards.batches import Captions, Sizes
from maestromotif.rewards.pairs import Judged, hold_out

PAIRS = {
    "ascender": 80_000,
    "descender": 80_000,
    "discoverer": 180_000,
    "merchant": 121_000,
    "worshipper": 200_000,
}
MESSAGES = 6_000
PHRASES = (
    "You kill the {}!", "The {} bites!", "You miss the {}.", "The {} misses!", "You hit the {}.",
    "You see here a {}.", "k - a {}.", "The {} hits!", "You destroy the {}!", "The {} turns to flee.",
    "You feel here a {}.", "It's a wall.", "There is a staircase down here.", "This door is locked.",
    "Mary offers 50 gold pieces for your {}.  Sell it?", "You sold a {} for 50 gold pieces.",
    "There is a black flash as a {} hits the altar.", "$ - {} gold pieces.",
)  # fmt: skip


def messages(random: np.random.Generator, count: int) -> list[bytes]:
    """`count` distinct messages about the game's monsters and items, the empty one first."""
    names = [nethack.permonst(i).mname for i in range(nethack.NUMMONS)]
    things = [nethack.OBJ_NAME(nethack.objclass(i)) for i in range(nethack.NUM_OBJECTS)]
    names += [name for name in things if name]
    made = {phrase.format(name).encode()[:256] for phrase in PHRASES for name in names}
    made |= {f"$ - {gold} gold pieces.".encode() for gold in range(2, 100)}
    ordered = sorted(made)
    return [b"", *(ordered[i] for i in random.permutation(len(ordered))[: count - 1])]


def made_up(scale: float) -> Judged:
    """Synthetic pairs of captions (message, change of depth), drawn with the frequency of the message."""
    random = np.random.default_rng(0)
    words = messages(random, max(20, round(MESSAGES * scale)))
    share = 1 / np.arange(1, len(words) + 1)
    texts = [word for word in words for _ in range(3)]
    changes = np.zeros((len(texts), 4), np.int8)
    changes[:, 0] = np.tile([0, 1, 2], len(words))
    often = np.repeat(share, 3) / (3 * share.sum())
    pairs, labels = [], []
    for count in PAIRS.values():
        pairs.append(random.choice(len(texts), (max(1, round(count * scale)), 2), p=often).astype(np.int32))
        worth = random.normal(size=len(texts))
        labels.append((worth[pairs[-1][:, 0]] > worth[pairs[-1][:, 1]]).astype(np.float32))
    ties = [np.zeros(len(own), bool) for own in pairs]
    return Judged(texts, changes, hold_out(texts, 0.02, random), pairs, labels, ties)


class SameNetwork:
    """Batches of the published network, of all five skills together."""

    def __init__(self, judged: Judged, batches: int, batch: int) -> None:
        self.settings = DistilSettings(
            network="published", batch=batch, seeds=1, learning_rate=1e-5, weight_decay=0, hide_message=0
        )
        self.judged, self.batches = judged, batches
        self.captions, self.sizes = Captions("published", judged.messages, judged.changes), Sizes()
        self.table = jnp.asarray(self.captions.features, jnp.uint16)
        starts = [fit.start_of("published", skill, 0, 0) for skill in PAIRS]
        self.params = dict(jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts))
        self.optimiser = optax.adamw(self.settings.learning_rate, weight_decay=0)
        self.state = jax.vmap(self.optimiser.init)(self.params)
        started = time.perf_counter()
        self.seconds_a_batch(0)
        self.compilation = time.perf_counter() - started

    def seconds_a_batch(self, number: int) -> float:
        """Seconds per batch and skill."""
        random = np.random.default_rng(number)
        started = time.perf_counter()
        orders = [
            random.permutation(len(own))[: self.settings.batch * self.batches] for own in self.judged.pairs
        ]
        randoms = [random] * len(orders)
        epoch = self.captions.epoch(
            orders, self.judged.pairs, self.judged.labels, self.settings.batch, 0.0, randoms, self.sizes
        )
        self.params, self.state = jax.block_until_ready(
            fit._epoch("published", self.optimiser, self.params, self.state, self.table, epoch)
        )
        return (time.perf_counter() - started) / (self.batches * len(orders))


class Torch:
    """Runs the loop below in the other interpreter, which times batches on request."""

    def __init__(self, python: str, judged: Judged, batches: int, batch: int, folder: Path) -> None:
        bytes_of = np.stack(
            [np.frombuffer(text[:256].ljust(256, b"\0"), np.uint8) for text in judged.messages]
        )
        sign = np.array([0.0, 1.0, -1.0], np.float32)[judged.changes[:, 0]]
        count = batch * (batches + 1)
        np.savez(
            folder / "data.npz", bytes=bytes_of, depth=sign, pairs=judged.pairs[-1][:count],
            labels=judged.labels[-1][:count],
        )  # fmt: skip
        (folder / "loop.py").write_text(LOOP)
        command = [python, str(folder / "loop.py"), str(folder / "data.npz"), str(batches), str(batch)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(
                "the interpreter of --torch-python cannot run the loop; see above and the top of this file"
            )
        return json.loads(line)

    def seconds_a_batch(self) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


LOOP = """
import json, sys, time
import numpy as np, torch
from torch import nn


class Published(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(256, 32, padding_idx=0)
        layers, channels = [], 32
        for width, pool in ((7, True), (7, True), (3, False), (3, False), (3, False), (3, True)):
            layers += [nn.Conv1d(channels, 64, width), nn.ReLU()] + [nn.MaxPool1d(3, 3)] * pool
            channels = 64
        self.tower = nn.Sequential(*layers, nn.Flatten(), nn.Linear(320, 128), nn.ReLU())
        self.depth = nn.Sequential(nn.Linear(5, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
        hidden = [nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 512), nn.ReLU()]
        self.head = nn.Sequential(*hidden, nn.Linear(512, 1))

    def forward(self, message, differences):
        m = self.tower(self.embed(message).transpose(1, 2))
        return self.head(torch.cat([m, self.depth(differences)], 1))[:, 0]


data, timed, size = np.load(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
message = torch.from_numpy(data["bytes"].astype(np.int64))
differences = torch.zeros(len(message), 5)
differences[:, 0] = torch.from_numpy(data["depth"])
pairs, labels = torch.from_numpy(data["pairs"].astype(np.int64)), torch.from_numpy(data["labels"])
model = Published()
optimiser = torch.optim.Adam(model.parameters(), lr=1e-5)


def batch(number):
    chosen = slice(size * number, size * (number + 1))
    rows = pairs[chosen].reshape(-1)
    scores = model(message[rows], differences[rows]).reshape(-1, 2)
    y = labels[chosen]
    loss = -(torch.stack([y, 1 - y], 1) * torch.log_softmax(scores, 1)).sum(1).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()


batch(0)
print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
for _ in sys.stdin:
    started = time.perf_counter()
    for number in range(1, timed + 1):
        batch(number)
    print(json.dumps((time.perf_counter() - started) / timed), flush=True)
"""


def distil_speedup(
    torch_python: str | None,
    batches: int = 3,
    rounds: int = 3,
    epochs: int = 20,
    batch: int = 1000,
    scale: float = 1.0,
) -> dict[str, Any]:
    """Times all three, or only ours.

    Use fewer epochs, smaller batches and a `scale` (of pairs and messages) below 1 to try the benchmark.
    """
    judged = made_up(scale)
    whole = sum(-(-len(own) // batch) for own in judged.pairs) * epochs  # batches, all skills together
    print(f"{sum(map(len, judged.pairs)):,} pairs, {whole:,} batches in {epochs} epochs", flush=True)
    same_turns: list[float] = []
    torch_turns: list[float] = []
    with ExitStack() as stack:
        torch = None
        if torch_python is not None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            torch = Torch(torch_python, judged, batches, batch, folder)
            stack.callback(torch.close)
            print(f"PyTorch {torch.version['torch']} on {torch.version['threads']} threads", flush=True)
        same = SameNetwork(judged, batches, batch)

        def turn() -> None:
            same_turns.append(same.seconds_a_batch(len(same_turns) + 1))
            told = f"same network {same_turns[-1]:.3f} s a batch"
            if torch is not None:
                torch_turns.append(torch.seconds_a_batch())
                told += f", torch {torch_turns[-1]:.3f} s"
            print(f"turn {len(same_turns)}: {told}", flush=True)

        for _ in range(rounds):
            turn()
        started = time.perf_counter()
        options = DistilSettings(batch=batch, epochs=epochs, patience=None, seeds=1)
        fit.train(judged, list(PAIRS), options, 0)
        default = time.perf_counter() - started
        turn()  # once more after the long run, in case the machine has changed
    figures: dict[str, Any] = {
        "distil_speedup": None,
        "distil_speedup_same_network": None,
        "torch_seconds_extrapolated": None,
        "same_network_seconds_extrapolated": round(statistics.median(same_turns) * whole + same.compilation),
        "default_seconds": round(default, 1),
        "timed_batches": batches * len(same_turns),
        "pairs": sum(map(len, judged.pairs)),
        "epochs": epochs,
    }
    if torch_turns:
        torch_seconds = statistics.median(torch_turns) * whole
        ratios = [
            whole * theirs / (whole * ours + same.compilation)
            for theirs, ours in zip(torch_turns, same_turns, strict=True)
        ]
        figures |= {
            "distil_speedup": round(torch_seconds / default, 1),
            "distil_speedup_same_network": round(statistics.median(ratios), 2),
            "torch_seconds_extrapolated": round(torch_seconds),
        }
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--torch-python", metavar="PYTHON", help="interpreter with PyTorch")
    parser.add_argument("--batches", type=int, default=3, help="timed batches per round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch", type=int, default=1000, help="pairs per batch")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the pairs and messages")
    asked = parser.parse_args()
    figures = distil_speedup(
        asked.torch_python, asked.batches, asked.rounds, asked.epochs, asked.batch, asked.scale
    )
    print(json.dumps(figures))
