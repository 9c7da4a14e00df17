"""Jobs of a cluster that cannot be; one that can is in `train/test_train.py`."""

from pathlib import Path

import pytest
from small_learning import CONFIG, config

from maestromotif.cli.cluster import submit
from maestromotif.cli.main import run_words
from maestromotif.errors import UserError


def test_only_training_runs_on_several_machines(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(CONFIG)
    with pytest.raises(UserError, match=r"train.machines: is 2, but only the stage train .* --until gate"):
        submit(run_words, config(tmp_path, "train.machines=2"), "run", ["small.yaml"])


def test_without_a_cluster_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))  # where no sbatch is
    with pytest.raises(UserError, match=r"slurm: the job was not queued: .*srun"):
        submit(run_words, config(tmp_path), "train", ["small.yaml"])
