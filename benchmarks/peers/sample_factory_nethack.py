"""Sample Factory 2.1.1 (asynchronous PPO in PyTorch) on NLE 1.3.0, with the network of our learner.

    python3.11 -m venv ENV
    ENV/bin/pip install nle==1.3.0 gymnasium==1.2.0 psutil pydantic pyyaml
    ENV/bin/pip install torch --index-url https://download.pytorch.org/whl/cpu
    ENV/bin/pip install --no-deps sample-factory==2.1.1
    ENV/bin/pip install faster-fifo signal-slot-mp threadpoolctl colorlog "huggingface-hub" filelock \
        tensorboard tensorboardx
    ENV/bin/python benchmarks/peers/sample_factory_nethack.py [--games 64] [--seconds 60] ...

Without `--no-deps`, sample-factory asks for older versions of gymnasium and NumPy than NLE 1.3.0 has.
Progress goes to stderr; the last line of stdout is one JSON object. This file patches Sample Factory at run
time:

- `TensorDict` writes arrays of shape (1,) into elements of shape (), which NumPy 2.4 rejects;
- the learner loads its checkpoints with `torch.load`, which needs `weights_only=False` since PyTorch 2.6.

CPU time on 2 busy cores with the default arguments: rollout workers 46 %, learner 30 %, inference 22 %,
runner 1 %. Other settings were tried one at a time on that machine, once each for 15 to 25 s, so only large
differences count. Sample Factory's default of two groups of games played in turn (`--splits 2`) cost a
quarter more CPU per step than one group, because inference then runs on half as many games at a time; so the
default here is 1. Twice the batch (`--batch 4096`) changed nothing. One worker with two groups cost as much
as two workers with one. Not tried: more inference processes, `batched_sampling`, and compiling the network.
"""

# mypy: disable-error-code="import-not-found, misc"

import functools
import json
import logging
import math
import multiprocessing
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from game import CLASSES, COLORS, FED, KIND_BITS, KINDS, NUM_ACTIONS, VOCABULARY, PeerGame, prepare
from meter import Meter, arguments, workplace
from sample_factory.algo.learning import learner
from sample_factory.algo.runners.runner import AlgoObserver, Runner
from sample_factory.algo.utils.context import global_model_factory
from sample_factory.algo.utils.misc import TRAIN_STATS, ExperimentStatus
from sample_factory.algo.utils.tensor_dict import TensorDict
from sample_factory.cfg.arguments import parse_full_cfg, parse_sf_args
from sample_factory.envs.env_utils import register_env
from sample_factory.model.actor_critic import create_actor_critic
from sample_factory.model.encoder import Encoder
from sample_factory.train import make_runner
from torch import Tensor, nn
from torch.nn import functional

STUCK = 300  # seconds without an update; a dead rollout worker would make it wait forever
ENVIRONMENT = "nethack"

# Patch on import, because every process that Sample Factory starts imports this module.
_set_data = TensorDict._set_data_func


def _set_data_reshaped(self: TensorDict, x: Any, index: Any, new_data: Any) -> None:
    if isinstance(x, np.ndarray) and not isinstance(new_data, dict):
        value = new_data.cpu().numpy() if torch.is_tensor(new_data) else new_data
        place = x[index]
        x[index] = value if value.shape == place.shape else value.reshape(place.shape)
    else:
        _set_data(self, x, index, new_data)


class _TrustingTorch:
    load = staticmethod(functools.partial(torch.load, weights_only=False))

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


TensorDict._set_data_func = _set_data_reshaped
learner.torch = _TrustingTorch()


class Fovea(Encoder):
    """Our default trunk in PyTorch: see `maestromotif.agent.network.Fovea`."""

    def __init__(self, cfg: Any, obs_space: Any) -> None:
        super().__init__(cfg)
        hidden = cfg.rnn_size
        half = hidden // 2
        self.hidden = hidden
        self.register_buffer("kind_bits", torch.from_numpy(KIND_BITS), persistent=False)
        self.register_buffer("shifts", torch.arange(len(KINDS), dtype=torch.uint8), persistent=False)
        self.register_buffer("fed", torch.tensor([*FED]), persistent=False)
        self.register_buffer("scale", torch.tensor([*FED.values()]), persistent=False)
        self.squares = nn.Embedding(256 * COLORS, 8)
        nn.init.normal_(self.squares.weight, std=0.5)
        self.near_patch = nn.Linear(9 * (8 + len(KINDS)), 32)
        self.near = nn.Linear(9 * 32, half)
        self.middle_patch = nn.Linear(9 * len(KINDS), 16)
        self.around = nn.Linear(9 * 16 + 5 * 17 * len(KINDS), half)
        self.words = nn.EmbeddingBag(VOCABULARY, 32, mode="sum", padding_idx=0)
        self.own = nn.Linear(len(FED) + CLASSES + NUM_ACTIONS, half)
        self.out = nn.Linear(3 * half + 32, hidden)

    def get_out_size(self) -> int:
        return int(self.hidden)

    def type_for_input_tensor(self, name: str) -> torch.dtype:
        return {"chars": torch.uint8, "colors": torch.uint8, "blstats": torch.float32}.get(name, torch.int32)

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        chars, blstats = obs["chars"], obs["blstats"]
        n = len(chars)
        x, y = blstats[:, 0].long(), blstats[:, 1].long()
        squares = chars.to(torch.int16) * COLORS + (obs["colors"].to(torch.int16) & (COLORS - 1))
        bits = self.kind_bits.index_select(0, chars.flatten().int()).view(chars.shape)
        fine = _coarse(bits)
        coarse = _coarse(fine)

        near = _window(squares, x, y, 9, 9).int()
        kinds = self._unpack(self.kind_bits.index_select(0, (near // COLORS).flatten()).view(near.shape))
        near = functional.relu(self.near_patch(_patches(torch.cat([self.squares(near), kinds], -1))))
        near = functional.relu(self.near(near.flatten(1)))

        middle = self._unpack(_window(fine, x // 3, y // 3, 9, 9))
        middle = functional.relu(self.middle_patch(_patches(middle)))
        far = self._unpack(_window(coarse, x // 9, y // 9, 5, 17))
        around = functional.relu(self.around(torch.cat([middle.flatten(1), far.flatten(1)], -1)))

        words = obs["words"]
        message = self.words(words) / torch.sqrt(1 + (words > 0).sum(1, keepdim=True))

        stats = (blstats.index_select(1, self.fed) * self.scale).clamp(-5, 5)
        items = blstats.new_zeros(n, CLASSES + 1)
        items = items.scatter_add_(1, obs["inventory"].long(), items.new_ones(n, 55))[:, :CLASSES].log1p()
        action = functional.one_hot(obs["last_action"][:, 0].long() + 1, NUM_ACTIONS + 1)[:, 1:].float()
        own = functional.relu(self.own(torch.cat([stats, items, action], -1)))
        return functional.relu(self.out(torch.cat([near, around, message, own], -1)))

    def _unpack(self, bits: Tensor) -> Tensor:
        return ((bits[..., None] >> self.shifts) & 1).float()


def _coarse(bits: Tensor) -> Tensor:
    """Bitwise or over the 3 x 3 cells of [n, h, w]."""
    h, w = bits.shape[1:]
    bits = functional.pad(bits, (0, -w % 3, 0, -h % 3))
    rows = bits[:, 0::3] | bits[:, 1::3] | bits[:, 2::3]
    return rows[..., 0::3] | rows[..., 1::3] | rows[..., 2::3]


def _window(map_nhw: Tensor, x: Tensor, y: Tensor, height: int, width: int) -> Tensor:
    """Windows [n, height, width] of the maps, centred on (x, y) and padded with 0."""
    padded = functional.pad(map_nhw, (width // 2, width // 2, height // 2, height // 2))
    rows = y[:, None, None] + torch.arange(height)[:, None]
    columns = x[:, None, None] + torch.arange(width)
    index = (rows * padded.shape[2] + columns).flatten(1)
    return padded.flatten(1).gather(1, index).view(-1, height, width)


def _patches(image: Tensor) -> Tensor:
    """[n, 9, 9, C] as nine patches of 3 x 3: [n, 9, 9 * C]."""
    n, c = len(image), image.shape[-1]
    return image.view(n, 3, 3, 3, 3, c).transpose(2, 3).reshape(n, 9, 9 * c)


def make_encoder(cfg: Any, obs_space: Any) -> Encoder:
    return Fovea(cfg, obs_space)


def make_game(name: str, cfg: Any, env_config: Any, render_mode: str | None = None) -> PeerGame:
    return PeerGame(Path(cfg.train_dir), cfg.max_steps)


class Measured(BaseException):
    """Stops training at once; Sample Factory's shutdown would save checkpoints and wait for all processes."""


class Observer(AlgoObserver):
    """Observes training and stops it when the measurement is over."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.losses: dict[str, float] = {}
        self.processes: dict[int, str] = {}
        self.parameters = 0

    def on_init(self, runner: Runner) -> None:
        network = create_actor_critic(runner.cfg, runner.env_info.obs_space, runner.env_info.action_space)
        self.parameters = sum(parameter.numel() for parameter in network.parameters())
        runner.policy_msg_handlers[TRAIN_STATS].append(self._on_train_stats)

    def _on_train_stats(self, runner: Runner, message: dict[str, Any], policy_id: int) -> None:
        stats = message[TRAIN_STATS]
        self.losses = {name: float(stats[name]) for name in ("policy_loss", "value_loss", "entropy")}
        if not all(math.isfinite(loss) for loss in self.losses.values()):
            raise FloatingPointError(f"losses are not finite: {self.losses}")

    def on_training_step(self, runner: Runner, training_iteration_since_resume: int) -> None:
        signal.alarm(STUCK)
        if runner.env_steps and self.meter.over(runner.env_steps[0]):
            self.processes = {child.pid or 0: child.name for child in multiprocessing.active_children()}
            raise Measured

    def cpu_by_process(self) -> dict[str, float]:
        """CPU microseconds per step of each kind of process."""
        spent: dict[str, float] = {}
        for pid, seconds in self.meter.cpu_seconds.items():
            kind = self.processes.get(pid, "others").partition("_")[0].partition("-")[0]
            spent[kind] = spent.get(kind, 0.0) + seconds
        return {kind: round(1e6 * seconds / self.meter.steps, 1) for kind, seconds in spent.items()}


def stuck(number: int, frame: Any) -> None:
    raise TimeoutError(f"no update for {STUCK} s")


def train(folder: Path, options: Any) -> Observer:
    """Trains until the measurement is over. Raises RuntimeError if Sample Factory fails."""
    prepare(folder)
    register_env(ENVIRONMENT, make_game)
    global_model_factory().register_encoder_factory(make_encoder)
    batch = options.batch or options.games * options.rollout
    settings = {
        "env": ENVIRONMENT,
        "train_dir": folder,
        "device": "cpu",
        "num_workers": options.workers,
        "num_envs_per_worker": options.games // options.workers,
        "worker_num_splits": options.splits,
        "rollout": options.rollout,
        "recurrence": options.rollout,
        "batch_size": batch // options.minibatches,
        "num_batches_per_epoch": options.minibatches,
        "num_epochs": options.epochs,
        "learning_rate": options.learning_rate,
        "async_rl": True,
        "rnn_type": "gru",
        "rnn_size": options.hidden,
        "normalize_input": False,
        "set_workers_cpu_affinity": options.affinity,
        "use_env_info_cache": False,
        "save_every_sec": 100_000,
        "save_best_after": 10**12,
    }
    given = [f"--{name}={value}" for name, value in settings.items()]
    parser, _ = parse_sf_args(given)
    parser.add_argument("--max_steps", type=int, default=options.max_steps)
    _, runner = make_runner(parse_full_cfg(parser, given))
    observer = Observer(Meter(options.warm_up, options.seconds, options.steps))
    runner.register_observer(observer)
    signal.signal(signal.SIGALRM, stuck)
    signal.alarm(STUCK)
    try:
        if runner.init() == ExperimentStatus.SUCCESS:
            runner.run()
    except Measured:
        signal.alarm(0)
        return observer
    raise RuntimeError("Sample Factory failed; see its output above")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--batch", type=int, help="steps per update; default: a rollout of all games")
    parser.add_argument("--workers", type=int, default=2, help="rollout processes")
    parser.add_argument("--splits", type=int, default=1, help="groups of games per worker, played in turn")
    parser.add_argument("--affinity", action="store_true", help="bind each worker to a core")
    parser.add_argument("--actions", type=int, choices=[NUM_ACTIONS], default=NUM_ACTIONS)
    options = parser.parse_args()
    if options.games % (options.workers * options.splits):
        parser.error("--games must be a multiple of --workers times --splits")
    logging.getLogger("rl").setLevel(logging.INFO)
    with workplace() as folder:
        observer = train(folder, options)
    figures = {
        "name": "Sample Factory 2.1.1",
        "games": options.games,
        "parameters": observer.parameters,
        **observer.meter.figures(),
        "cpu_microseconds_per_step": observer.cpu_by_process(),
        "losses": observer.losses,
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
