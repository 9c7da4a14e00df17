"""A policy's file: its parameters, and a header that says of which network, skills and actions they are.

The file is msgpack, `{"params": ..., "header": JSON}` and a digest of both (`pipeline.trees`). The header
holds a probe: what the network computes of made-up inputs. A change of the inputs, of their scaling or of the
memory may leave all shapes as they are, so that the policy plays badly without an error; the probe then
differs.
"""

import json
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maestromotif.agent.inputs import Block, Inputs
from maestromotif.agent.network import ActorCritic, Params, build, unpack, unroll
from maestromotif.agent.policy import HEADER, POLICY, load_policy
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.nethack.actions import NAMES, SETS
from maestromotif.pipeline.store import file_contents
from maestromotif.pipeline.trees import read_tree, refusing, tree_bytes

FORMAT = 1
_FREE = {"prior", "precision"}  # settings of the network that parameters do not depend on
_STEPS, _GAMES = 2, 2  # of the probe
# Largest difference from the probe, as a share of its largest number. GPUs round float32 to 10 bits.
_TOLERANCE = {"float32": 0.01, "bfloat16": 0.1}


def policy_bytes(config: Config, params: Params, *, probed: bool = True) -> bytes:
    """The content of a policy's file. config: that of the training; params: on the host.

    probed: whether to compute a probe, which takes some seconds the first time.
    """
    header = _facts(config)
    if probed:
        found = probe(build(config.train.network, len(config.skills)), params)
        header["probe"] = [float(f"{x:.5g}") for x in found.tolist()]
    return tree_bytes({**params, HEADER: json.dumps(header)})


def policy_file(given: str | Path, setting: str) -> Path:
    """The file of a policy. given: it, its folder, or a run's folder.

    setting: the setting that names it, for the error. Raises UserError if there is none.
    """
    places = [Path(given), Path(given) / POLICY, Path(given) / "train" / POLICY]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise UserError(
            f"{setting}: {given}: holds no {POLICY}; name the folder of a policy, such as "
            "policies/trained/six_skills, or of a run that is trained"
        )
    return found


def policy_files(config: Config) -> dict[str, str]:
    """Path -> SHA-256 of the file that `train.policy` names, for use in place of training; empty without one.

    Raises UserError if it cannot be read, or is of other skills, actions or another network.
    """
    if config.train.policy is None:
        return {}
    file = policy_file(config.train.policy, "train.policy")
    check_policy(file, config, needs_header=True)
    return file_contents("train.policy", str(file))


def check_policy(path: Path, config: Config, *, needs_header: bool = False) -> dict[str, Any] | None:
    """The header of a policy's file, None if an older version wrote it without one. Computes nothing.

    Raises UserError if the file cannot be read, or says that it is of other skills, actions or another
    network than the config's. needs_header: whether a file without a header is refused too.
    """
    told = _told(path)
    if told is None and needs_header:
        raise UserError(
            f"{path}: does not say of which network, skills and actions it is, because an older version "
            "wrote it; train it again"
        )
    if told is not None:
        _check(path, told, _facts(config))
    return told


def read_policy(path: Path, config: Config, *, needs_header: bool = False) -> Params:
    """The parameters of a file that `policy_bytes` made, for the config's network.

    Raises UserError if the file cannot be read, or is of other skills, actions, inputs or scaling, or of
    another network. needs_header: whether a file of an older version, without a header, is refused too;
    else only its shapes are checked.
    """
    told = check_policy(path, config, needs_header=needs_header)
    network = build(config.train.network, len(config.skills))
    params = load_policy(path, network)
    if told is not None and "probe" in told:
        _check_probe(path, told, network, params, config.train.network.precision)
    return params


def probe(network: ActorCritic, params: Params) -> np.ndarray:
    """Logits and values of all skills over a few made-up steps, float32, flat."""
    return np.asarray(_probing(network)(params), np.float32)


@cache
def _probing(network: ActorCritic) -> Callable[[Params], jax.Array]:
    layout = Block(_GAMES, network.form)
    blocks = [_made_up(layout, step) for step in range(_STEPS)]
    actions = np.random.default_rng(0).integers(0, network.actions, (_STEPS, _GAMES), np.int32)

    @jax.jit
    def compute(params: Params) -> jax.Array:
        inputs = [unpack(layout, jnp.asarray(block)) for block in blocks]
        rows = [network.glance(*pair) for pair in zip(inputs, jnp.asarray(actions), strict=True)]
        glance = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
        first = jnp.zeros((_STEPS, _GAMES), bool)
        _, logits, values = unroll(network, params, glance, first, jnp.zeros((_GAMES, network.hidden)))
        return jnp.concatenate([logits.reshape(-1), values.reshape(-1)])

    return compute


def _made_up(layout: Block, step: int) -> np.ndarray:
    """Random inputs. A further part, or a further action in a part, changes none of the other numbers."""
    block, views = layout.allocate()
    for name, part in zip(Inputs._fields, views, strict=True):
        random = np.random.default_rng((zlib.crc32(name.encode()), step))
        part.T[...] = random.integers(0, 2 if part.dtype == np.bool_ else 20, part.shape[::-1])
    return block


def _facts(config: Config) -> dict[str, Any]:
    settings = config.train.network
    return {
        "format": FORMAT,
        "skills": list(config.skills),
        "actions": list(NAMES[: SETS[settings.actions]]),
        "network": settings.model_dump(mode="json"),
    }


def _told(path: Path) -> dict[str, Any] | None:
    """The header of a file, None if it has none. Raises UserError if it is no policy."""
    tree = read_tree(path, "a policy")
    header = tree.get(HEADER)
    if header is None and "common" in tree and "params" not in tree:
        raise UserError(
            f"{path}: is a checkpoint of a training; a policy is made when the training ends. `maestromotif "
            "watch` with the run's folder plays the newest checkpoint"
        )
    if header is None:
        return None
    with refusing(path, "a policy"):
        told = json.loads(header)
        if told.get("format") == FORMAT:
            network = told["network"]
            lists = [*told["skills"], *told["actions"], network["actions"], network["precision"]]
            if not all(isinstance(name, str) for name in lists) or network["precision"] not in _TOLERANCE:
                raise ValueError("the header is damaged")
            np.array(told.get("probe", []), np.float32).reshape(-1)
    return dict(told)


def _check(path: Path, told: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Compares headers. Raises UserError that lists what differs."""
    if told.get("format") != FORMAT:
        raise UserError(f"{path}: has format {told.get('format')}; this version reads format {FORMAT}")
    wrong = []
    if told["skills"] != wanted["skills"]:
        wrong.append(f"skills was {_listed(told['skills'])}, is {_listed(wanted['skills'])}")
    network = told["network"]
    wrong += [
        f"train.network.{name} was {network[name]}, is {value}"
        for name, value in wanted["network"].items()
        if name not in _FREE and name in network and network[name] != value
    ]
    if network["actions"] == wanted["network"]["actions"] and told["actions"] != wanted["actions"]:
        wrong.append(f"the action set {network['actions']} had other actions")
    if wrong:
        raise UserError(
            f"{path}: is not a policy for this config: {'; '.join(wrong)}; use the settings of its training, "
            "or train again"
        )


def _check_probe(
    path: Path, told: dict[str, Any], network: ActorCritic, params: Params, precision: str
) -> None:
    was, now = np.array(told["probe"], np.float32), probe(network, params)
    tolerance = max(_TOLERANCE[precision], _TOLERANCE[told["network"]["precision"]])
    if was.shape == now.shape:
        plain = np.abs(was) < 1e6  # not the logits of masked actions
        off = np.abs(was - now).max() / max(float(np.abs(was[plain]).max(initial=0)), 1e-6)
        if off <= tolerance:
            return
    raise UserError(
        f"{path}: this version computes something else with its parameters than the version that wrote it, "
        "although the settings are the same: inputs or their scaling have changed; train it again"
    )


def _listed(names: list[str]) -> str:
    return ", ".join(map(str, names))
