"""The gate: what a reward must rank before anything is trained on it, and what is said if it does not."""

import json
import logging
from pathlib import Path
from typing import Any

import flax.traverse_util
import numpy as np
import pytest
import small_rewards
from hypothesis import given, settings
from hypothesis import strategies as st

from maestromotif import skill
from maestromotif.annotate import annotate
from maestromotif.config.labels import GateSettings
from maestromotif.config.learning import RewardSettings
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.nethack.events import COLUMN, EVENTS, read
from maestromotif.nethack.state import CHANGES
from maestromotif.pipeline.store import Artefact, Work
from maestromotif.rewards import distil, gate
from maestromotif.rewards.model import load_rewards, write_model
from maestromotif.train.reward_source import DistilledRewards

TEXT = """---
name: {name}
starts: at any time
ends: at any time
{head}---
The agent should do something.
"""


def happened(inputs: dict[str, Artefact]) -> None:
    """Adds the events of each step to the collected observations, as `collect` does."""
    path = inputs["collect"].path / "observations.npz"
    with np.load(path) as file:
        parts = dict(file)
    events = np.array([read(bytes(parts["messages"][m])).counts for m in parts["message_id"]], np.int8)
    events[:, COLUMN["descended"]] = parts["changes"][:, 0] == 1
    events[:, COLUMN["ascended"]] = parts["changes"][:, 0] == 2
    Work(path.parent).write_arrays(path.name, **parts, events=events, event_names=np.array(list(EVENTS), "S"))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artefact]:
    folder = tmp_path_factory.mktemp("gate")
    made = small_rewards.write_inputs(folder)
    distil.run(small_rewards.configured(epochs=20, seeds=1), made, Work(folder / "distil"))
    happened(made)
    return made | {"distil": Artefact(folder / "distil", {})}


def configured(folder: Path, descender: str, discoverer: str, **settings: Any) -> Config:
    for name, head in (("descender", descender), ("discoverer", discoverer)):
        (folder / f"{name}.md").write_text(TEXT.format(name=name, head=head))
    changed = {"skills_folder": str(folder), "gate": GateSettings(**settings)}
    return small_rewards.configured().model_copy(update=changed)


def test_a_reward_that_pays_for_what_is_wanted_passes(inputs: dict[str, Artefact], tmp_path: Path) -> None:
    """The skills of the project, with the tables that stand in their own texts."""
    work = Work(tmp_path / "gate")
    facts = gate.run(small_rewards.configured(), inputs, work)
    assert facts == {"passed": True, "problems": 0}
    found = json.loads((work.path / "gate.json").read_text())
    rows = {(row["skill"], row["event"]): row for row in found["rows"]}
    assert rows["descender", "all wanted"]["auc"] > 0.95
    assert rows["descender", "descended"]["steps"] == len(small_rewards.MESSAGES)
    assert rows["descender", "ascended"]["paid"] == 0
    assert rows["discoverer", "explored"]["auc"] > 0.9
    assert not rows["discoverer", "picked_up"]["judged"]  # it never happened
    page = (work.path / "gate.md").read_text()
    assert f"| descender | ascended | forbidden | {len(small_rewards.MESSAGES)} |" in page
    assert "wanted, not judged" in page


def test_a_reward_that_pays_for_what_is_forbidden_fails(inputs: dict[str, Artefact], tmp_path: Path) -> None:
    config = configured(
        tmp_path,
        "wanted: [descended]\nforbidden: [explored]\n",
        "wanted: [descended]\nforbidden: [explored]\n",
    )
    work = Work(tmp_path / "gate")
    with pytest.raises(UserError) as caught:
        gate.run(config, inputs, work)
    message = str(caught.value)
    assert str(work.path / "gate.md") in message
    assert "| skill | event |" in message
    assert "- discoverer: its wanted events are rewarded above all else in" in message
    assert "- discoverer: is paid on" in message
    assert "of the steps with `explored`, more than gate.forbidden = 5%. Say in" in message
    assert "- descender" not in message
    lenient = config.model_copy(update={"gate": GateSettings(enforce=False)})
    assert gate.run(lenient, inputs, work) == {"passed": False, "problems": 3}


def test_what_the_reward_cannot_see_is_named(inputs: dict[str, Artefact], tmp_path: Path) -> None:
    config = configured(tmp_path, "wanted: [upstairs]\n", "", auc=1.0, fewest=1)
    path = inputs["collect"].path / "observations.npz"
    with np.load(path) as file:
        parts = dict(file)
    changes = parts["changes"].copy()
    changes[:5, 3] = 1
    changes[:5, 0] = 0
    Work(tmp_path / "collect").write_arrays(path.name, **parts | {"changes": changes})
    with pytest.raises(UserError, match=r"annotate\.changes lacks upstairs"):
        gate.run(config, inputs | {"collect": Artefact(tmp_path / "collect", {})}, Work(tmp_path / "gate"))


def test_rare_events_and_skills_without_any_are_not_judged(
    inputs: dict[str, Artefact], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = configured(tmp_path, "wanted: [sold]\nforbidden: [stole]\n", "")
    with caplog.at_level(logging.INFO, logger="maestromotif"):
        assert gate.run(config, inputs, Work(tmp_path / "gate"))["passed"]
    assert "descender: 'sold' happened on 0 steps: not judged" in caplog.text
    assert "names no `wanted` events, so only what is never paid is judged" in caplog.text


values = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=12)


@settings(deadline=None)
@given(values, values)
def test_auc_is_the_share_of_pairs_in_order(wanted: list[float], others: list[float]) -> None:
    a, b = np.array(wanted), np.array(others)
    expected = ((a[:, None] > b).mean() + (a[:, None] >= b).mean()) / 2
    estimate, low, high = gate.auc(a, b, np.random.default_rng(0))
    assert estimate == pytest.approx(expected, abs=1e-4)
    assert low <= high
    if len({*wanted, *others}) == 1:
        assert (estimate, low, high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("wanted: descended\n", "x.md:5: 'wanted' must be a list of events like"),
        ("wanted: []\n", "x.md:5: 'wanted' must be a list of events like"),
        ("wanted: [descendet]\n", "x.md:5: 'wanted': no event 'descendet'; did you mean 'descended'?"),
        ("wanted: [killed, killed]\n", "x.md:5: 'wanted': 'killed' is listed twice"),
        ("wanted: [killed]\nforbidden: [killed]\n", "x.md:6: 'killed' is both wanted and forbidden"),
        ("forbidden: [killed]\n", "x.md:5: 'forbidden' needs 'wanted'"),
    ],
)
def test_mistakes_in_the_table_are_named(tmp_path: Path, head: str, expected: str) -> None:
    (tmp_path / "x.md").write_text(TEXT.format(name="x", head=head))
    with pytest.raises(UserError) as caught:
        skill.load(tmp_path, "x")
    assert expected in str(caught.value)


REFUSED = Path(__file__).parent / "refused"
ROOT = Path(__file__).parents[2]


def old_model(name: str, folder: Path) -> Artefact:
    """A discoverer's reward of an earlier version, which charged the agent for steps without any event."""
    with np.load(REFUSED / f"{name}.npz") as file:
        card = json.loads(file["card"].tobytes())
        params = flax.traverse_util.unflatten_dict(
            {place: file[place] for place in file.files if place != "card"}, sep="/"
        )
    write_model(Work(folder), "discoverer", card, params)
    return Artefact(folder, {})


@pytest.mark.parametrize("name", ["quickstart", "shipped"])
def test_the_discoverers_of_earlier_versions_are_refused(
    inputs: dict[str, Artefact], tmp_path: Path, name: str
) -> None:
    """One charged the agent -0.35 on a step without any event, until it prayed itself to death."""
    skills = {"skills": ("discoverer",)}
    rewards = {"quantile": 0.6, "least_threshold": None}
    config = small_rewards.configured().model_copy(update=skills | {"reward": RewardSettings(**rewards)})
    made = inputs | {"distil": old_model(name, tmp_path / "distil")}
    with pytest.raises(UserError, match=r"discoverer: training charges \d+% of the steps"):
        gate.run(config, made, Work(tmp_path / "gate"))
    if name == "quickstart":
        with pytest.raises(UserError, match=rf"is paid on 100% of the steps with `{gate.NOTHING}`"):
            gate.run(config, made, Work(tmp_path / "gate"))
    floor = config.model_copy(update={"reward": RewardSettings(quantile=0.6)})
    models = load_rewards(made["distil"].path, ["discoverer"])
    assert models.thresholds(floor.reward).min() >= 0


def test_a_wanted_event_that_is_never_paid_fails(inputs: dict[str, Artefact], tmp_path: Path) -> None:
    config = configured(tmp_path, "wanted: [descended, explored]\n", "", auc=0.0)
    high = config.model_copy(update={"reward": RewardSettings(quantile=0.95)})
    with pytest.raises(UserError, match=r"descender: is paid on none of the \d+ steps with `explored`"):
        gate.run(high, inputs, Work(tmp_path / "gate"))


def test_pay_for_nothing_fails(inputs: dict[str, Artefact], tmp_path: Path) -> None:
    config = configured(tmp_path, "wanted: [ascended]\n", "")  # the descender's reward is lowest for it
    low = config.model_copy(update={"reward": RewardSettings(quantile=0.0, least_threshold=None)})
    with pytest.raises(UserError, match=rf"descender: is paid on 100% of the steps with `{gate.NOTHING}`"):
        gate.run(low, inputs, Work(tmp_path / "gate"))


def test_a_reward_that_pays_nothing_at_all_is_an_error(inputs: dict[str, Artefact], tmp_path: Path) -> None:
    config = small_rewards.configured()
    high = config.model_copy(update={"reward": RewardSettings(least_threshold=100.0)})
    with pytest.raises(UserError, match=r"descender/card\.json: the reward pays nothing: its highest value"):
        DistilledRewards(high, inputs["distil"].path)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("hurt", "no caption can tell 'hurt', so no reward can learn it: add health to annotate.changes"),
        ("upstairs", "no caption can tell 'upstairs', so no reward can learn it: add upstairs to"),
        ("price_identified", "no caption can tell 'price_identified', so no reward can learn it: no message"),
    ],
)
def test_a_wanted_event_that_no_caption_can_tell_is_an_error(
    tmp_path: Path, event: str, expected: str
) -> None:
    config = configured(tmp_path, f"wanted: [{event}]\n", "wanted: [killed, descended]\n")
    with pytest.raises(UserError) as caught:
        annotate.reads(config)
    assert str(caught.value).startswith(f"{tmp_path / 'descender.md'}: {expected}")


def test_the_shipped_rewards_are_of_the_skill_texts_and_pay_for_nothing_idle() -> None:
    names = ["discoverer", "descender", "ascender", "merchant", "worshipper"]
    models = load_rewards(ROOT / "rewards", names)
    thresholds = models.thresholds(RewardSettings())
    (z,) = models.score([b""], np.zeros((1, len(CHANGES)), np.int8))
    assert (z < thresholds).all()
    assert (thresholds >= 0).all()
    for name, card in zip(names, models.cards, strict=True):
        assert card["description"] == skill.load(ROOT / "skills", name).description
        assert card["made"].keys() == {"commit", "command"}
