"""`maestromotif doctor`: what is installed, what is missing, and the command that installs it.

Each part of the package checks itself and yields findings; Python, packages, machine and disk are checked
here. What is required and missing makes the exit status 1.
"""

import importlib
import importlib.metadata
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import click
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from maestromotif import __version__
from maestromotif.config.labels import LanguageSettings
from maestromotif.config.schema import Config, RunSettings
from maestromotif.devices import VARIABLE, local_devices
from maestromotif.errors import Finding, UserError, without_users
from maestromotif.machine import available_cores, memory

SOURCE = Path(__file__).resolve().parents[2]  # the checkout, if the package is installed from one
GIBIBYTE = 1024**3
MEMORY_WANTED = 6 * GIBIBYTE  # the quickstart's peak with the 1.5B model and its games, rounded up

# What an extra adds, and how it is recognised.
EXTRAS = {
    "gpu": "training on an NVIDIA GPU",
    "vllm": "annotation with larger language models on a GPU",
    "slurm": "starting runs on a SLURM cluster",
    "dev": "tests, linters and the type checker",
    "docs": "building the documentation",
}


def examine(config_file: str | None, overrides: Sequence[str]) -> int:
    """Prints the report. 0 if everything that is required is there, else 1."""
    config, of_config = read_config(config_file, overrides)
    run, language = (config.run, config.language) if config else (RunSettings(), LanguageSettings())
    missing = sum(
        _print(title, findings)
        for title, findings in (
            ("config", of_config),
            ("Python", python()),
            ("packages", packages()),
            ("game", part("maestromotif.nethack.check")),
            ("machine", machine()),
            ("disk", disk(Path(run.root))),
            ("language models", part("maestromotif.language.backends", language)),
            ("stages", foreseen(config) if config else iter(())),
            ("optional", chain(extras(), chromium(), part("maestromotif.tracking.wandb"))),
        )
    )
    click.echo(f"\n{missing} required thing{'' if missing == 1 else 's'} missing" if missing else "\nready")
    return 1 if missing else 0


def _print(title: str, findings: Sequence[Finding] | Iterator[Finding]) -> int:
    """Prints findings as they come and returns how many required things are missing."""
    missing = 0
    for finding in findings:
        if title:
            click.echo(f"\n{title}")
            title = ""
        click.echo(f"  {finding.state:8}{without_users(finding.what)}")
        fix = finding.fix or ("" if finding.extra is None else install_command(finding.extra))
        if fix:
            click.echo(f"  {'':8}fix: {fix}")
        missing += finding.state == "missing"
    return missing


def read_config(config_file: str | None, overrides: Sequence[str]) -> tuple[Config | None, list[Finding]]:
    """The config, None if there is none or it has mistakes, and what there is to say about it."""
    if config_file is None:
        return None, []
    from maestromotif.config.load import load

    try:
        config = load(config_file, overrides)
    except UserError as error:
        return None, [Finding("missing", line) for line in str(error).splitlines()]
    return config, [Finding("ok", f"{config_file} is valid")]


def part(module: str, *arguments: object) -> Iterator[Finding]:
    """What a part's own `check` finds. One that lacks a package to be imported is a finding too."""
    try:
        check = importlib.import_module(module).check
    except ImportError as error:
        yield Finding("missing", f"{module} cannot be imported: {error}", extra="")
        return
    try:
        yield from check(*arguments)
    except Exception as error:  # a broken environment is what the doctor is asked about
        said = next(iter(str(error).splitlines()), "")
        yield Finding("missing", f"{module} cannot be checked: {type(error).__name__}: {said}")


UNPINNED = ("vllm",)  # extras that need other versions than the tested ones (docs/install.md)


def install_command(extra: str = "") -> str:
    """The command that installs the package again, with an extra, in the Python that runs now."""
    pip = [sys.executable or "python3", "-m", "pip", "install"]
    with_extra = f"[{extra}]" if extra else ""
    if (SOURCE / "pyproject.toml").is_file():
        tested = [] if extra in UNPINNED else ["--constraint", "constraints.txt"]
        install = shlex.join([*pip, "--editable", f".{with_extra}", *tested])
        return f"cd {shlex.quote(str(SOURCE))} && {install}"
    return shlex.join([*pip, f"maestromotif{with_extra}=={__version__}"])


def python() -> Iterator[Finding]:
    version = platform.python_version()
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        yield Finding("ok", f"Python {version}, {platform.system()} on {platform.machine()}")
    else:
        yield Finding(
            "missing", f"Python {version}: needed is 3.11, 3.12 or 3.13", "python3.11 -m venv .venv"
        )
    if (platform.system(), platform.machine()) not in (("Linux", "x86_64"), ("Linux", "aarch64")):
        yield Finding("missing", "nle has wheels for Linux on x86_64 and aarch64 only", "use such a machine")


def packages() -> Iterator[Finding]:
    """The packages that are always needed, against their ranges and against the tested versions."""
    if installed("maestromotif") is None:
        yield Finding("missing", "maestromotif is not installed in this Python", install_command())
        return
    pinned = constraints()
    for requirement in requirements(""):
        version = installed(requirement.name)
        if version is None:
            yield Finding("missing", f"{requirement}: not installed", install_command())
        elif not requirement.specifier.contains(version, prereleases=True):
            yield Finding(
                "missing", f"{requirement.name} {version}, needed is {requirement}", install_command()
            )
        elif version != pinned.get(canonicalize_name(requirement.name), version):
            tested = pinned[canonicalize_name(requirement.name)]
            yield Finding("note", f"{requirement.name} {version}; tested is {tested}", install_command())
        else:
            yield Finding("ok", f"{requirement.name} {version}")


def requirements(extra: str) -> list[Requirement]:
    """What the package asks for, with an extra only what that adds."""
    found = []
    for text in importlib.metadata.requires("maestromotif") or []:
        requirement = Requirement(text)
        plain = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if plain != bool(extra) and (
            plain or (requirement.marker and requirement.marker.evaluate({"extra": extra}))
        ):
            found.append(requirement)
    return sorted(found, key=lambda requirement: requirement.name.lower())


def foreseen(config: Config) -> Iterator[Finding]:
    """What the stages of a config would refuse, as far as the machine, the config and its files tell it."""
    from maestromotif.pipeline.runner import stages_of

    found: dict[str, None] = {}
    for stage in stages_of(config):
        try:
            stage.reads()(config)
            stage.foresee()(config)
        except (UserError, ImportError) as error:
            found |= dict.fromkeys(str(error).splitlines())
    for line in found:
        yield Finding("missing", line)
    if not found:
        yield Finding("ok", "no stage of the config refuses anything that can be seen now")


def installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def constraints() -> dict[str, str]:
    """Exact versions by package name, from the checkout's constraints.txt; empty without one."""
    path = SOURCE / "constraints.txt"
    if not path.is_file():
        return {}
    lines = (line.split("==") for line in path.read_text().splitlines() if "==" in line)
    return {canonicalize_name(name.strip()): version.strip() for name, version in lines}


def machine() -> Iterator[Finding]:
    cores = available_cores()
    yield Finding("ok" if cores > 1 else "note", f"{cores} CPU core{'' if cores == 1 else 's'}")
    total, free = memory() or (0, 0)
    says = f"{total / GIBIBYTE:.1f} GiB of memory, {free / GIBIBYTE:.1f} free"
    if free >= MEMORY_WANTED:
        yield Finding("ok", says)
    else:
        smaller = "close other programs, or use a smaller model: language.model=qwen2.5-coder-0.5b-instruct"
        yield Finding("note", f"{says}; the quickstart wants {MEMORY_WANTED / GIBIBYTE:.0f}", smaller)
    try:
        for device in local_devices():
            yield Finding("ok", f"JAX device {device.id}: {device.platform}, {device.device_kind}")
    except (UserError, ImportError) as error:
        asked = os.environ.get(VARIABLE, "cpu") != "cpu"
        yield Finding("missing", str(error), install_command("gpu" if asked else ""))


def disk(root: Path) -> Iterator[Finding]:
    there = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    says = f"{free / GIBIBYTE:.1f} GiB free for runs below {root}"
    if not os.access(there, os.W_OK):
        yield Finding(
            "missing", f"{there}: no permission to write runs there", "set run.root to another folder"
        )
    elif free < GIBIBYTE:
        yield Finding("note", says, "free space, or set run.root to another disk")
    else:
        yield Finding("ok", says)


def extras() -> Iterator[Finding]:
    if installed("maestromotif") is None:
        return
    for extra, purpose in EXTRAS.items():
        wanted = requirements(extra)
        lacking = [one.name for one in wanted if installed(one.name) is None]
        if extra == "gpu":  # jax itself is always there; what the extra adds is its plug-in
            lacking = [] if installed("jax-cuda13-plugin") else ["jax[cuda13]"]
        if lacking:
            says = f"extra '{extra}' ({purpose}): without {', '.join(lacking)}"
            yield Finding("absent", says, install_command(extra))
        else:
            yield Finding("ok", f"extra '{extra}' ({purpose})")


def chromium() -> Iterator[Finding]:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path:
        yield Finding("ok", f"{path}, which the test of the report needs")
    else:
        yield Finding("absent", "chromium, which the test of the report needs", "apt-get install chromium")
