"""Jobs of a cluster, on submitit's stand-in for one: real processes of this machine."""

import shlex
from pathlib import Path

import pytest
from small_learning import CONFIG, config

from maestromotif.errors import UserError
from maestromotif.slurm import submit


def test_two_tasks_of_a_job_train_one_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_NUMPY_RANK_PROMOTION", "allow")
    overrides = ("learning.machines=2", "nethack.games=4", "learning.steps=256", "run.name=queued")
    job = submit(config(tmp_path, *overrides), "train", "small.yaml", overrides, here=True)
    job.results()
    assert (tmp_path / "runs/queued/train/policy.msgpack").exists()
    assert (tmp_path / "runs/queued/.slurm").is_dir()


def test_only_training_runs_on_several_machines(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(CONFIG)
    with pytest.raises(UserError, match=r"learning.machines: is 2, but only the stage train .* --until gate"):
        submit(config(tmp_path, "learning.machines=2"), "run", "small.yaml", ())


def test_without_a_cluster_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", shlex.quote(str(tmp_path)))  # where no sbatch is
    with pytest.raises(UserError, match=r"slurm: the job was not queued: .*srun"):
        submit(config(tmp_path), "train", "small.yaml", ())
