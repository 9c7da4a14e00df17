"""Files of policies and checkpoints: what is no such file, or one of another network, is refused by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutated import mutations
from small_learning import config

from maestromotif.agent.network import Params, build, initial_params
from maestromotif.agent.policy import HEADER, POLICY, fitted
from maestromotif.agent.saved_policy import check_policy, policy_bytes
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.pipeline.trees import DIGEST, read_tree
from maestromotif.train import train
from maestromotif.train.checkpoint import Checkpoints


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return config(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="module")
def params(small: Config) -> Params:
    made = initial_params(build(small.train.network, len(small.skills)), 0)
    host: Params = jax.tree.map(np.asarray, made)
    return host


@pytest.fixture(scope="module")
def saved(small: Config, params: Params) -> bytes:
    return policy_bytes(small, params, probed=False)


def packed(value: Any) -> bytes:
    return bytes(serialization.msgpack_serialize(value))


def read(path: Path, small: Config, params: Params) -> None:
    """As `read_policy` does, without its probe."""
    check_policy(path, small)
    fitted(path, params, read_tree(path, "a policy"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no msgpack",
        packed([1, 2]),
        packed(3),
        packed({}),
        packed({"a": 1}),
        packed({HEADER: 3}),
        packed({HEADER: "[1]"}),
        packed({HEADER: '{"format": 1}'}),
        packed({HEADER: '{"format": 2}'}),
        packed({HEADER: json.dumps({"format": 1, "skills": 3, "actions": [], "network": {}})}),
        packed({"params": {"policy": {"bias": "x"}, "value": [1]}}),
        packed({"common": {}, "own": {}}),
    ],
    ids=str,
)
def test_a_valid_msgpack_that_is_no_policy_is_refused(
    content: bytes, small: Config, params: Params, tmp_path: Path
) -> None:
    path = tmp_path / POLICY
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"policy\.msgpack: "):
        read(path, small, params)


def test_parameters_of_another_kind_are_refused(
    saved: bytes, small: Config, params: Params, tmp_path: Path
) -> None:
    path = tmp_path / POLICY
    path.write_bytes(saved)
    read(path, small, params)
    tree = serialization.msgpack_restore(saved)
    changes: tuple[Callable[[np.ndarray], Any], ...] = (
        lambda x: x.astype("U1"),
        lambda x: x.astype(np.int32),
        lambda x: {},
        lambda x: [1],
        lambda x: x[None],
    )
    for change in changes:
        wrong = {"params": jax.tree.map(change, tree["params"]), HEADER: tree[HEADER]}
        try:
            path.write_bytes(packed(wrong))
        except (TypeError, ValueError):  # flax does not write this kind
            continue
        with pytest.raises(UserError, match=r"policy\.msgpack: "):
            read(path, small, params)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_policy_is_read_or_refused_by_name(
    data: st.DataObject, saved: bytes, small: Config, params: Params, tmp_path: Path
) -> None:
    path = tmp_path / POLICY
    path.write_bytes(data.draw(mutations(saved)))
    try:
        read(path, small, params)
        said = POLICY
    except UserError as error:
        said = str(error)
    assert POLICY in said


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bit=st.integers(min_value=0))
def test_one_changed_bit_of_a_weight_is_seen(
    bit: int, saved: bytes, small: Config, params: Params, tmp_path: Path
) -> None:
    """Also in the bias of a head, which is a small part of the file."""
    path, changed = tmp_path / POLICY, bytearray(saved)
    weights = np.asarray(jax.tree.leaves(params)[bit % len(jax.tree.leaves(params))]).tobytes()
    at = saved.index(weights) + bit // 8 % len(weights)
    changed[at] ^= 1 << bit % 8
    path.write_bytes(changed)
    with pytest.raises(UserError, match=r"policy\.msgpack: .* its content has changed since it was written"):
        read(path, small, params)


def test_a_file_without_a_digest_is_read(saved: bytes, small: Config, params: Params, tmp_path: Path) -> None:
    tree = serialization.msgpack_restore(saved)
    del tree[DIGEST]
    (tmp_path / POLICY).write_bytes(packed(tree))
    read(tmp_path / POLICY, small, params)


def test_one_changed_bit_of_a_checkpoint_is_seen(params: Params, tmp_path: Path) -> None:
    weights = np.asarray(jax.tree.leaves(params)[-1]).tobytes()
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(3, {"params": [params]}, {"at": 1, "rows": [2.5], "name": "x"})
        checkpoints.wait()
        checkpoints.load(3)
        file = checkpoints.file(3)
        content = bytearray(file.read_bytes())
        content[content.index(weights)] ^= 1
        file.write_bytes(content)
        with pytest.raises(
            UserError, match=r"its content has changed since it was written.* remove .*0000000003"
        ):
            checkpoints.load(3)


@pytest.mark.parametrize(
    "state",
    [
        [1],
        {"a": 1},
        {"common": {}},
        {"common": {"params": []}, "own": 3},
        {"common": {}, "own": {"returns": 1, "actors": []}},
        {
            "common": {"params": [{}], "opt_state": {}, "scale": [], "curve": {}, "rewards": {}},
            "own": {"returns": [], "actors": [{}]},
        },
    ],
    ids=str,
)
def test_a_valid_msgpack_that_is_no_checkpoint_is_refused(state: Any, tmp_path: Path) -> None:
    file = tmp_path / "0000000008" / "0-of-1.msgpack"
    file.parent.mkdir()
    file.write_bytes(packed(state))
    with Checkpoints(tmp_path, keep=1) as checkpoints, pytest.raises(UserError) as caught:
        train._check_parts(file, *checkpoints.load(8), actors=1)
    assert str(caught.value).startswith(f"{file}: cannot be read as a checkpoint: ")


def test_a_checkpoint_in_place_of_a_policy_is_called_one(
    small: Config, params: Params, tmp_path: Path
) -> None:
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(3, {"params": [params]}, {})
        checkpoints.wait()
        file = checkpoints.file(3)
    with pytest.raises(UserError, match=r"0-of-1\.msgpack: is a checkpoint of a training; .* watch"):
        check_policy(file, small)


def test_what_the_repository_ships_has_a_digest() -> None:
    root = Path(__file__).parents[2]
    files = [*root.glob("rewards/*/params.msgpack"), *root.glob("policies/trained/*/policy.msgpack")]
    assert len(files) >= 2
    for file in files:
        assert DIGEST in serialization.msgpack_restore(file.read_bytes()), file
        read_tree(file, "what is shipped")
