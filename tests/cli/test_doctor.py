"""The doctor on this machine, on a broken config, and on an installation with holes."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from maestromotif.cli import doctor
from maestromotif.config.labels import LanguageSettings
from maestromotif.errors import Finding
from maestromotif.language import backends, gguf
from maestromotif.tracking import wandb


def test_a_complete_installation_is_ready() -> None:
    command = [sys.executable, "-m", "maestromotif", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("\nready\n")
    for line in (
        "NetHack plays",
        "nle 1.3.0",
        "JAX device 0: ",
        "extra 'dev'",
        "GiB free for runs below runs",
    ):
        assert line in done.stdout


def test_a_wrong_config_is_something_missing(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("skils: [descender]\n")
    config, findings = doctor.read_config(str(tmp_path / "mine.yaml"), ["train.gamma=2"])
    assert config is None
    assert {finding.state for finding in findings} == {"missing"}
    assert any("unknown key; did you mean 'skills'?" in finding.what for finding in findings)
    assert any("command line: train.gamma" in finding.what for finding in findings)


def test_what_is_not_installed_comes_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = doctor.installed
    monkeypatch.setattr(
        doctor, "installed", lambda name: None if name in ("nle", "submitit") else there(name)
    )
    (nle,) = [finding for finding in doctor.packages() if "nle" in finding.what]
    assert nle.state == "missing"
    assert "pip install" in nle.fix
    (slurm,) = [finding for finding in doctor.extras() if "slurm" in finding.what]
    assert slurm.state == "absent"
    assert "[slurm]" in slurm.fix


def test_a_part_that_cannot_be_imported_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it was not installed
    monkeypatch.delitem(sys.modules, "maestromotif.tracking.wandb", raising=False)
    (found,) = doctor.part("maestromotif.tracking.wandb")
    assert (found.state, found.extra) == ("missing", "")
    assert "wandb" in found.what


def test_commands_are_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spaced = tmp_path / "my projects"
    spaced.mkdir()
    (spaced / "pyproject.toml").touch()
    monkeypatch.setattr(doctor, "SOURCE", spaced)
    words = shlex.split(doctor.install_command("vllm"))
    assert words[:3] == ["cd", str(spaced), "&&"]
    assert ".[vllm]" in words
    assert "constraints.txt" not in words
    assert "constraints.txt" in shlex.split(doctor.install_command("gpu"))


def test_versions_other_than_the_tested_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "constraints", lambda: {"numpy": "2.0.0", "huggingface-hub": "0.0.1"})
    notes = {canonicalize_name(found.what.split()[0]) for found in doctor.packages() if found.state == "note"}
    assert notes == {"numpy", "huggingface-hub"}


def test_the_constraints_name_every_requirement_and_nothing_else_but_versions() -> None:
    pinned = doctor.constraints()
    for requirement in [*doctor.requirements(""), *doctor.requirements("dev"), *doctor.requirements("slurm")]:
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)], prereleases=True)
    for line in (doctor.SOURCE / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or line.count("==") == 1
        assert "/" not in line


def test_a_model_that_nobody_knows_is_named(tmp_path: Path) -> None:
    findings = list(gguf.check(LanguageSettings(model="gpt-9", cache=str(tmp_path))))
    assert findings[0].state == "missing"
    assert "gpt-9" in findings[0].what


def test_models_that_are_not_here_are_no_error(tmp_path: Path) -> None:
    findings = list(gguf.check(LanguageSettings(cache=str(tmp_path))))
    assert {finding.state for finding in findings} == {"absent"}


def test_what_other_backends_lack_is_missing(tmp_path: Path) -> None:
    def findings(**settings: str) -> list[Finding]:
        return list(backends.check(LanguageSettings.model_validate(settings)))

    down, licence = findings(backend="server", model="llama-3.3-70b-instruct", url="http://127.0.0.1:9/v1")
    assert down.state == "missing"
    assert down.fix == "vllm serve meta-llama/Llama-3.3-70B-Instruct"
    assert "Built with Llama" in licence.what
    (lacking,) = findings(backend="recorded", model="mine", path=str(tmp_path / "answers.jsonl"))
    assert (lacking.state, "answers.jsonl: cannot be read" in lacking.what) == ("missing", True)


@pytest.mark.parametrize("platform", ["cuda", "gpu"])
def test_jax_asked_for_a_device_that_is_not_here(tmp_path: Path, platform: str) -> None:
    """The doctor goes on to its end, and `run` and `train` stop before a game starts."""

    def told(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "maestromotif", *words]
        environment = {**os.environ, "JAX_PLATFORMS": platform, "CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        return done.returncode, done.stdout + done.stderr

    asks = f"JAX_PLATFORMS: asks JAX for {platform}, which is not here"
    verb = {"cuda": "run", "gpu": "train"}[platform]
    status, said = told(verb, "configs/descender_cpu.yaml", f"run.root={tmp_path}")
    assert status == 2
    assert said.startswith(asks)
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())
    if platform == "cuda":
        status, said = told("doctor")
        assert status == 1
        assert asks in said
        assert said.endswith("1 required thing missing\n")


def test_a_user_without_a_home(tmp_path: Path) -> None:
    """As in a container that runs under any number: no HOME, and no entry in /etc/passwd."""
    nobody = ["unshare", "--user", "--map-user=54321", "--map-group=54321"]
    if shutil.which("unshare") is None or subprocess.run([*nobody, "true"], check=False).returncode:
        pytest.skip("this machine lets nobody be another user")
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    code = """if True:
        from pathlib import Path
        from maestromotif.config.labels import LanguageSettings
        from maestromotif.config.load import load
        from maestromotif.errors import UserError
        from maestromotif.language import gguf, weights
        from maestromotif.tracking.tracking import Tracking
        print(next(gguf.check(LanguageSettings())).what)
        for cache in (None, "~/x", "~nobody-lives-here/x"):
            try:
                weights.cache_folder(LanguageSettings(cache=cache))
            except UserError as error:
                print(error)
        config = load("configs/quickstart.yaml", ["tracking.wandb=offline"])
        with Tracking(config, Path("FOLDER"), "mine.yaml") as tracking:
            tracking.stage("train", "a", ()).row(1, {"loss/kl": 1.0})
    """.replace("FOLDER", str(tmp_path))
    done = subprocess.run(
        [*nobody, sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    *three, last = done.stdout.splitlines()[:4]
    assert all(line.startswith(("HOME: this user has no home folder", "language.cache: ~")) for line in three)
    assert last.startswith("language.cache: ~nobody-lives-here/x: there is no such home folder")
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 1


def test_an_address_and_a_key_of_wandb_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "https://me:hunter2@wandb.example/x")
    monkeypatch.setenv("WANDB_API_KEY", "AAAA\nBBBB")
    (found,) = wandb.check()
    assert found.state == "absent"
    assert "WANDB_API_KEY: is no key" in found.what
    monkeypatch.setenv("WANDB_API_KEY", "A" * 40)
    (found,) = wandb.check()
    assert found.what == "API key for wandb.example found"


@pytest.mark.parametrize("place", ["environment", "netrc"])
def test_the_key_of_wandb_is_found_where_wandb_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine other.example login user password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example")
    assert [finding.state for finding in wandb.check()] == ["absent"]
    if place == "environment":
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    else:
        netrc.write_text("machine wandb.example login user password secret\n")
    found = list(wandb.check())
    assert [finding.state for finding in found] == ["ok"]
    assert "secret" not in found[0].what
