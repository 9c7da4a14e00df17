"""Candidates in the real game, with the policy of the repository, and a whole composition, all small."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from maestromotif.agent.saved_policy import policy_file, read_policy
from maestromotif.cli.main import cli
from maestromotif.compose import rules
from maestromotif.compose.candidates import Player
from maestromotif.compose.player import GAMES, GamePlayer
from maestromotif.config.load import load
from maestromotif.errors import UserError
from maestromotif.programs import contract, provenance
from maestromotif.tasks.task import Task
from maestromotif.tasks.task import load as load_task

ROOT = Path(__file__).parents[2]
POLICY = "policies/trained/six_skills"
TASK = Task("t", "words", "p.py", ("count(killed) >= 1", "depth >= 2"), steps=60)
TABLE = "when downstairs_seen use descender\notherwise use discoverer\n"


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def player() -> Iterator[GamePlayer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        config = load(POLICY, ["nethack.workers=1"])
        params = read_policy(policy_file(POLICY, "train.policy"), config)
        with GamePlayer(config, params, TASK) as opened:
            yield opened


def program(text: str) -> str:
    return rules.program(rules.parse(text, ("discoverer", "descender", "ascender")), "words")


def test_a_number_names_a_game(player: GamePlayer) -> None:
    assert isinstance(player, Player)
    games = player.play(program(TABLE), range(GAMES))
    assert games == player.play(program(TABLE), range(GAMES))
    assert games[3:5] == player.play(program(TABLE), range(3, 5))
    assert len({game.story for game in games}) > 1
    assert all(0 <= game.progress <= 1 and 1 <= game.steps <= TASK.steps for game in games)


def test_a_story_tells_skills_levels_and_what_was_met(player: GamePlayer) -> None:
    (game,) = player.play(program("otherwise use discoverer\n"), range(1))
    lines = game.story.splitlines()
    assert re.match(r"step 1: discoverer on level 1 for \d+ steps, to turn \d+", lines[0])
    assert f"step {game.steps}: " in game.story
    assert lines[-3].endswith("met: count(killed) >= 1")
    assert lines[-2] == "not met: depth >= 2"
    assert lines[-1] == f"progress {game.progress:.2f}"
    assert len(lines) <= 25


def test_a_task_without_conditions_is_measured() -> None:
    config = load(POLICY, ["nethack.workers=1"])
    params = read_policy(policy_file(POLICY, "train.policy"), config)
    task = Task("t", "words", "p.py", measure="total(killed)", steps=120)
    with GamePlayer(config, params, task, "final", 4) as player:
        games = player.play(program("otherwise use discoverer\n"), range(4))
    assert len(games) == 4
    for game in games:
        assert game.story.endswith(f"total(killed) was {game.progress:.0f}")
        assert game.success == (game.progress >= 1)
    assert any(game.success for game in games)


def test_a_program_that_fails_in_a_game_is_an_error(player: GamePlayer) -> None:
    source = "class Program:\n    def select(self, state, available):\n        return available[1 // 0]\n"
    with pytest.raises(UserError, match=r"program\.py:3: ZeroDivisionError"):
        player.play(source, range(1))
    assert player.play(program(TABLE), range(1))  # the games go on


COMPOSE = [
    *("compose", "see some squares of the level", "--by", "edits", "--search", "oneshot"),
    *("--games", "8", "--episode-steps", "20", "nethack.workers=1"),
]


def test_a_sentence_becomes_a_program_and_a_table(tmp_path: Path) -> None:
    words = [*COMPOSE, "--success", "explored >= 10", "--output", str(tmp_path)]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert "| random skills |" in done.output
    assert "conditions given by the user" in done.output
    source = contract.read(tmp_path / "program.py")
    head = provenance.parse(source, "program.py")
    assert head["model"] == "none: edits of random tables"
    assert not provenance.stale(head, tmp_path / "program.py")
    assert head["search"].startswith("search oneshot, seed 0: 1 candidate, 8 games")
    assert load_task(tmp_path, "task").success == ("explored >= 10",)
    for name in ("transcript.md", "search.html"):
        assert "of 8 achieved the task" in (tmp_path / name).read_text()
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {
        *(
            "task.md",
            "program.py",
            "prompt.md",
            "result.md",
            "transcript.md",
            "search.jsonl",
            "search.html",
            "result.json",
        ),
    }
    with pytest.raises(UserError, match=r"task\.md: is another task"):
        CliRunner().invoke(cli, [*words, "--success", "gold >= 1"], catch_exceptions=False)


def test_the_table_of_a_measured_task(tmp_path: Path) -> None:
    path = tmp_path / "kills.md"
    path.write_text("---\nname: kills\nmeasure: total(killed)\nsteps: 20\n---\nKill.\n")
    words = ["compose", str(path), *COMPOSE[2:6], "--games", "8", "--final", "2", "nethack.workers=1"]
    done = CliRunner().invoke(cli, [*words, "--output", str(tmp_path / "out")], catch_exceptions=False)
    assert "| program | games with at least 1 | mean of `total(killed)` | mean steps |" in done.output
    assert "Each played the same 2 games" in done.output
    path.write_text("---\nname: kills\nmeasure: total(drank)\n---\nDrink.\n")
    with pytest.raises(UserError, match="no skill wants drank"):
        CliRunner().invoke(cli, [*words, "--output", str(tmp_path / "other")], catch_exceptions=False)


def test_a_part_that_no_skill_serves_is_named_and_nothing_is_played(tmp_path: Path) -> None:
    words = [*COMPOSE, "--success", "explored >= 10", "--success", "count(drank) >= 1"]
    with pytest.raises(
        UserError, match=r"(?s)do not serve this part.*count\(drank\) >= 1: no skill wants drank"
    ):
        CliRunner().invoke(cli, [*words, "--output", str(tmp_path)], catch_exceptions=False)
    assert not (tmp_path / "search.jsonl").exists()


def test_options_of_a_task_with_a_config_are_an_error() -> None:
    with pytest.raises(UserError, match="taken for a config, and --games needs a task"):
        CliRunner().invoke(
            cli, ["compose", "configs/six_skills.yaml", "--games", "9"], catch_exceptions=False
        )
