"""Episodes of the evaluation: their seeds, their ends, and the same episode played again."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maestromotif.agent.episodes import Episode, Policy, play_wave, to_end
from maestromotif.agent.options import Options
from maestromotif.agent.reward import RewardFunction, Scorer
from maestromotif.config.learning import NetworkSettings, RewardSettings, TrainSettings
from maestromotif.config.schema import Config, EvaluateSettings, NethackSettings
from maestromotif.errors import UserError
from maestromotif.evaluate import evaluate
from maestromotif.evaluate.agents import demonstrator_policy, explorer_policy, wandering_policy
from maestromotif.evaluate.comparisons import comparisons, lines
from maestromotif.evaluate.evaluate import TRIES, Entry, entries, row_of
from maestromotif.evaluate.summary import summary, table
from maestromotif.nethack.actions import INDEX
from maestromotif.nethack.pool.pool import GamePool, open_pool
from maestromotif.nethack.seeds import episode_seeds
from maestromotif.pipeline.store import Work
from maestromotif.programs.decisions import Decision, Decisions
from maestromotif.programs.sandbox import ProgramHost
from maestromotif.replay import kept
from maestromotif.replay.page import page
from maestromotif.replay.record import play_again
from maestromotif.replay.replay import Replay, check
from maestromotif.skill import Skill, load
from maestromotif.tasks.task import Task
from maestromotif.tasks.task import load as load_task

GAMES = 6
PROGRAM = """
class Program:
    def select(self, state: GameState, available: list[Skill]) -> Skill:
        return available[0]
"""

DOWN_AND_BACK = """
class Program:
    def select(self, state: GameState, available: list[Skill]) -> Skill:
        wanted = "ascender" if state.depth >= 2 else "descender"
        return wanted if wanted in available else available[0]
"""


@pytest.fixture(scope="module")
def skills() -> list[Skill]:
    return [load("skills", "discoverer")]


Make = Callable[[GamePool], Policy]


def asked(*success: str) -> Task:
    return Task("test", "words", "program.py", success)


def play(skills: list[Skill], wave: int, condition: str, make: Make | None = None) -> list[Episode]:
    with (
        GamePool(GAMES, "evaluate", 0, 80, workers=2) as pool,
        ProgramHost(PROGRAM, skills, GAMES, 0) as host,
    ):
        policy = make(pool) if make else wandering_policy(pool, wave)
        return to_end(play_wave(pool, policy, host, asked(condition), 0, wave, None))


def test_every_game_plays_one_episode_to_its_end_or_to_success(skills: list[Skill]) -> None:
    episodes = play(skills, 3, "turn >= 30")
    assert [tuple(e.seeds) for e in episodes] == [episode_seeds("evaluate", 0, g, 3) for g in range(GAMES)]
    for episode in episodes:
        assert episode.steps == len(episode.actions) == len(episode.skills) == len(episode.switched)
        assert episode.switched[0]
        assert episode.success == (episode.end == "success")
    assert any(e.success and e.steps < 80 for e in episodes)
    never = play(skills, 3, "depth >= 40")
    assert not any(e.success for e in never)
    assert {e.end for e in never} <= {"death", "left", "truncated"}
    assert all(e.steps == 80 for e in never if e.end == "truncated")
    assert all(bool(e.cause) == (e.end == "death") for e in (*episodes, *never))


def praying(pool: GamePool) -> Policy:
    keys = np.array([INDEX["pray"], INDEX["northwest"], INDEX["more"]], np.int32)
    return lambda first, skill, playing, step: np.full(GAMES, keys[step % 3])


def test_deaths_and_prayers_are_counted(skills: list[Skill]) -> None:
    """Who prays at every step angers a god, and dies of it or of what the god sends."""
    episodes = play(skills, 0, "depth >= 40", praying)
    assert all(episode.prayers >= 2 for episode in episodes)
    dead = [episode for episode in episodes if episode.end == "death"]
    assert dead
    row = row_of(asked("depth >= 40"), Entry("praying", "random", None), episodes, EvaluateSettings())
    assert row["deaths"] == len(dead) == sum(row["causes"].values())
    assert all(cause.startswith("killed by") for cause in row["causes"])
    assert row["prayers_per_1000"] == pytest.approx(
        1000 * sum(e.prayers for e in episodes) / sum(e.steps for e in episodes), abs=0.01
    )
    assert row["steps_median"] == np.median([e.steps for e in episodes])
    assert row["normalised"] is None  # no paper has this task

    delphi = load_task("tasks", "delphi")  # the paper: 0.29, and 0.02 for its best baseline
    judged = [replace(e, published=game % 2 == 0) for game, e in enumerate(episodes)]
    row = row_of(delphi, Entry("praying", "random", None), judged, EvaluateSettings())
    half = sum(e.published is True for e in judged) / len(judged)
    assert row["normalised"] == pytest.approx(np.log(0.98 / (1 - half)) / np.log(0.98 / 0.71), abs=1e-3)


@pytest.mark.parametrize("script", ["explorer", "demonstrator"])
def test_the_scripts_do_what_the_acting_skill_wants(script: str) -> None:
    skills = [load("skills", name) for name in ("descender", "ascender")]
    with (
        GamePool(12, "evaluate", 0, 300, workers=2) as pool,
        ProgramHost(DOWN_AND_BACK, skills, 12, 0) as host,
    ):
        if script == "explorer":
            policy = explorer_policy(pool, skills, 0)
        else:
            policy = demonstrator_policy(pool, skills, "seek", 0)
        episodes = to_end(play_wave(pool, policy, host, asked("depth >= 2", "depth == 1"), 0, 0, None))
    assert sum(e.success for e in episodes) >= 4
    travels = any(INDEX["travel_unexplored"] in e.actions for e in episodes)
    assert travels == (script == "demonstrator")
    went_back = next(e for e in episodes if e.success)
    assert went_back.actions.count(INDEX["up"]) == 1
    assert went_back.skills[-1] == 1


def test_lost_games_are_played_again_as_if_nothing_had_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    config, players = small_players()
    task = load_task("tasks", "down_and_back")
    program = Path(task.program).read_text()
    entry = Entry("explorer", "explorer", None)
    killed = 0

    def killing(pool: GamePool, skills: list[Skill], seed: int) -> Policy:
        """The explorer, until a worker process is really killed at step 10, as often as `kills` says."""
        policy = explorer_policy(pool, skills, seed)

        def act(first: np.ndarray, skill: np.ndarray, playing: np.ndarray, step: int) -> np.ndarray:
            nonlocal killed
            if step == 10 and killed < kills:
                killed += 1
                os.kill(pool._processes[1].pid or 0, signal.SIGKILL)
            return policy(first, skill, playing, step)

        return act

    with open_pool(config, "evaluate", GAMES, 40) as pool:
        expected = players.wave(pool, entry, task, program, 1)
        monkeypatch.setattr(evaluate, "explorer_policy", killing)
        kills = 1
        assert players.wave(pool, entry, task, program, 1) == expected
        assert (killed, pool.lost) == (1, GAMES // 2)
        killed, kills = 0, TRIES
        with pytest.raises(UserError, match=rf"workers died in each of {TRIES} attempts.*nethack\.games"):
            players.wave(pool, entry, task, program, 1)


def small_players() -> tuple[Config, evaluate.Players]:
    """Agents under the program of the quickstart. There is no network: the explorer needs none."""
    config = Config(
        skills=("discoverer", "descender", "ascender"),
        tasks=("down_and_back",),
        nethack=NethackSettings(games=GAMES, workers=2),
        train=TrainSettings(network=NetworkSettings(hidden=8)),
    )
    return config, evaluate.Players(config, {}, GAMES)


def reward_for_messages() -> RewardFunction:
    """Pays 1 for every step with a message."""

    def score(messages: Sequence[bytes], changes: np.ndarray) -> np.ndarray:
        return np.array([[float(len(message) > 0)] for message in messages], np.float32)

    settings = RewardSettings(scale=1.0, count_exponent=0.0)
    return RewardFunction(Scorer(score, np.zeros(1, np.float32)), settings, games=1)


def again(skills: list[Skill], episode: Episode, program: str = PROGRAM) -> Replay:
    return play_again(
        NethackSettings(pages="last"), skills, program, reward_for_messages(), episode, "title", "label"
    )


def test_every_episode_played_again_comes_to_its_recorded_end(skills: list[Skill]) -> None:
    """Deaths, successes and those cut off; screens, rewards and state are those of the game."""
    episodes = [*play(skills, 1, "turn >= 60"), *play(skills, 0, "depth >= 40", praying)]
    assert {"death", "success", "truncated"} <= {episode.end for episode in episodes}
    for episode in episodes:
        replay = again(skills, episode)
        assert replay.warning == ""
        check(replay)
        assert replay.steps == episode.steps
        assert replay.action.tolist() == episode.actions
        # A step's reward is of the message that the next step was taken on.
        np.testing.assert_array_equal(replay.reward > 0, [text != "" for text in replay.messages[1:]])
        assert b"Agent" in replay.chars[0].tobytes()
        assert replay.depth.max() == episode.deepest
        assert replay.calls[0].values == {}  # this program reads no field of the state
        if episode.end == "death":
            assert replay.end == f"death: {episode.cause}"
            assert replay.messages[-1]
            assert replay.chars[-1][1:22].any()
    assert any((again(skills, episode).reward > 0).any() for episode in episodes)


def test_an_episode_that_comes_to_another_end_says_so(skills: list[Skill]) -> None:
    episode = play(skills, 1, "depth >= 40")[0]
    for changed in (
        replace(episode, seeds=(1, 2, 3)),
        replace(episode, check=episode.check ^ 1),
        replace(episode, end="death", cause="killed by a newt"),
    ):
        assert "This is not the game that was played" in again(skills, changed).warning
    dead = next(one for one in play(skills, 0, "depth >= 40", praying) if one.end == "death")
    more = replace(
        dead, steps=dead.steps + 3, actions=[*dead.actions, 0, 0, 0], skills=[*dead.skills, 0, 0, 0],
        switched=[*dead.switched, False, True, False], reasons=[*dead.reasons, 0, 1, 0],
    )  # fmt: skip
    replay = again(skills, more)
    check(replay)
    assert replay.steps == dead.steps
    assert f"it ends after {dead.steps} steps by death" in replay.warning


def test_an_episode_without_steps_is_played_again_as_its_first_screen(skills: list[Skill]) -> None:
    episode = replace(
        play(skills, 1, "depth >= 40")[0], steps=0, actions=[], skills=[], switched=[], reasons=[], end="left"
    )
    replay = again(skills, episode)
    check(replay)
    assert (replay.steps, len(replay.chars), replay.calls) == (0, 1, [])
    assert "This is not the game that was played" in replay.warning  # nobody leaves without a step
    assert "This episode has no steps" in page(replay)


def test_the_fields_at_a_switch_are_those_that_the_program_saw() -> None:
    """What `Decisions` says of the games while they are played, the replay says too."""
    skills = [load("skills", name) for name in ("discoverer", "descender", "ascender")]
    program = Path("policies/down_and_back.py").read_text()
    told: list[dict[int, Decision]] = []
    with (
        GamePool(GAMES, "evaluate", 0, 200, workers=2, pages="last") as pool,
        ProgramHost(program, skills, GAMES, 0) as host,
    ):
        watching = Decisions(program, skills, GAMES)
        inner = Options.advance

        def advance(self: Options, state: Mapping[str, np.ndarray], fresh: np.ndarray) -> None:
            self._start.begin(state, fresh)
            full, ended = self.full_state(state), np.where(fresh, -1, self.running)
            inner(self, state, fresh)
            told.append(watching.follow(full, ended, self.running, self.switched))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Options, "advance", advance)
            policy = explorer_policy(pool, skills, 0)
            episodes = to_end(play_wave(pool, policy, host, asked("depth >= 40"), 0, 0, None))
    switches = 0
    for game, episode in enumerate(episodes):
        replay = play_again(
            NethackSettings(pages="last"), skills, program, reward_of_nothing(3), episode, "", ""
        )
        for call in replay.calls:
            wanted = told[call.start][game]
            assert (call.values, call.before) == (wanted.values, wanted.before)
            switches += 1
    assert switches > 2 * GAMES


def test_a_replay_has_what_the_program_said(tmp_path: Path) -> None:
    skills = [load("skills", name) for name in ("discoverer", "descender")]
    program = (
        "class Program:\n    def select(self, state: GameState, available: list[Skill]) -> Skill:\n"
        "        self.reason = f'turn {state.turn}'\n"
        "        return available[state.turn % len(available)]\n\n"
        "    def should_end(self, state: GameState) -> bool:\n        return state.skill_steps >= 9\n"
    )
    with (
        GamePool(2, "evaluate", 0, 40, workers=1, pages="last") as pool,
        ProgramHost(program, skills, 2, 0) as host,
    ):
        policy = explorer_policy(pool, skills, 0)
        played = {"explorer": to_end(play_wave(pool, policy, host, asked("depth >= 40"), 0, 0, None))}
    Work(tmp_path).write_arrays(kept.FILE, **kept.arrays(played))
    for episode in kept.read(tmp_path / kept.FILE, "evaluate")["explorer"]:
        replay = play_again(
            NethackSettings(pages="last"), skills, program, reward_of_nothing(2), episode, "", ""
        )
        assert len(replay.calls) > 3
        assert [call.told for call in replay.calls] == [
            f"turn {call.values['turn']}" for call in replay.calls
        ]


def reward_of_nothing(skills: int) -> RewardFunction:
    def score(messages: Sequence[bytes], changes: np.ndarray) -> np.ndarray:
        return np.zeros((len(messages), skills), np.float32)

    return RewardFunction(Scorer(score, np.zeros(skills, np.float32)), RewardSettings(), games=1)


def test_new_levels_are_only_judged_apart_where_training_had_few() -> None:
    agents = ["trained", "untrained", "random", "wandering", "explorer"]
    assert [e.name for e in entries(agents, None)] == agents
    few = entries(agents, 4)
    assert {e.levels for e in few} == {4, None}
    assert [e.agent for e in few if e.levels is None] == ["trained", "untrained", "wandering", "explorer"]
    assert [e.name for e in entries(agents, None, cloned=True)] == [agents[0], "cloned", *agents[1:]]


def result(agent: str, levels: int | None, share: float, half: float = 0.05) -> dict[str, Any]:
    return {
        "agent": agent,
        "levels": levels,
        "episodes": 128,
        "success": share,
        "success_low": share - half,
        "success_high": share + half,
        "deepest_mean": 1 + share,
        "deepest_low": 1 + share - half,
        "deepest_high": 1 + share + half,
        "deaths": 40,
    }


def test_the_summary_is_about_new_dungeons() -> None:
    few = [result("trained", 4, 0.7), result("wandering", 4, 0.1), result("explorer", 4, 0.6)]
    new = [
        result("trained, new levels", None, 0.5),
        result("wandering, new levels", None, 0.1),
        result("explorer, new levels", None, 0.55),
    ]
    assert summary([*few, *new], 0.95) == (
        "In new dungeons the trained agent succeeds in 50.0 % of 128 episodes (95 % interval 45.0 to 55.0 "
        "%), random play that mostly walks in 10.0 % (5.0 to 15.0 %) and the scripted explorer in 55.0 % "
        "(50.0 to 60.0 %). It is better than walking and neither better nor worse than the explorer beyond "
        "chance (the intervals overlap). Mean deepest level: 1.50 (1.45 to 1.55), walking 1.10 (1.05 to "
        "1.15), the explorer 1.55 (1.50 to 1.60). 40 of the trained agent's 128 episodes ended in death. In "
        "the 4 dungeons of training it succeeds in 70.0 % (65.0 to 75.0 %)."
    )
    assert summary(few, 0.95).startswith("In the 4 dungeons of training, the only ones played, the trained")


def test_the_summary_says_plainly_if_nothing_was_gained() -> None:
    rows = [result("trained", None, 0.12), result("wandering", None, 0.1), result("explorer", None, 0.6)]
    assert "It is not better than walking (the intervals overlap) and worse than" in summary(rows, 0.95)
    rows[1] = result("wandering", None, 0.3)
    assert "It is worse than walking and worse than the explorer." in summary(rows, 0.95)


def test_the_summary_does_not_compare_an_agent_with_itself() -> None:
    rows = [result("demonstrator", None, 0.8), result("explorer", None, 0.6)]
    assert summary(rows, 0.95).partition(" %). ")[2] == (
        "It is better than the explorer. Mean deepest level: 1.80 (1.75 to 1.85), the explorer 1.60 (1.55 to "
        "1.65). 40 of the demonstrator agent's 128 episodes ended in death."
    )


def test_without_an_end_the_summary_and_the_table_are_about_depth() -> None:
    agents = (("trained", 0.5), ("wandering", 0.1), ("explorer", 0.9))
    rows = [
        result(agent, None, share)
        | {"success": None, "success_low": None, "success_high": None}
        | {"at_least_2": share, "steps_median": 700.0}
        for agent, share in agents
    ]
    assert summary(rows, 0.95) == (
        "In new dungeons the mean deepest level of the trained agent is 1.50 (1.45 to 1.55), walking 1.10 "
        "(1.05 to 1.15), the explorer 1.90 (1.85 to 1.95). It is better than walking and worse than the "
        "explorer. 40 of the trained agent's 128 episodes ended in death."
    )
    head, _, first, *_ = table(rows, 0.95).splitlines()
    assert "success" not in head
    assert first == "| trained | new | 1.50 [1.45, 1.55] | 50 % | 40 of 128 | 700 |"


def test_few_levels_are_shared_by_training_and_evaluation_but_not_the_dice() -> None:
    met = {
        p: {episode_seeds(p, 0, g, e, levels=4) for g in range(8) for e in range(8)}
        for p in ("train", "evaluate")
    }
    assert {s.lgen for s in met["train"]} == {s.lgen for s in met["evaluate"]}
    assert len({s.lgen for s in met["train"]}) == 4
    assert not {s.core for s in met["train"]} & {s.core for s in met["evaluate"]}


def test_a_salt_gives_other_games_and_is_not_told(tmp_path: Path) -> None:
    secret = "an unguessable text"
    (tmp_path / "salt").write_text(secret + "\n")
    config, players = small_players()
    config = config.model_copy(update={"evaluate": EvaluateSettings(salt_file=str(tmp_path / "salt"))})
    assert evaluate.salt_of(config) == secret
    hidden = evaluate.Players(config, {}, GAMES)
    seeds = [[episode_seeds("evaluate", 0, game, 0, salt=secret)] for game in range(GAMES)]
    task, entry = asked("turn >= 5"), Entry("explorer", "explorer", None)
    with open_pool(config, "evaluate", GAMES, 20, seeds=seeds) as pool:
        found = hidden.wave(pool, entry, task, PROGRAM, 0)
    assert [tuple(one.seeds) for one in found] == [tuple(one[0]) for one in seeds]
    with open_pool(config, "evaluate", GAMES, 20) as pool:
        known = players.wave(pool, entry, task, PROGRAM, 0)
    assert not {tuple(one.seeds) for one in found} & {tuple(one.seeds) for one in known}
    (tmp_path / "salt").write_text("short")
    with pytest.raises(UserError, match=r"evaluate\.salt_file: .*salt: a salt has at least 16 characters"):
        evaluate.salt_of(config)


def test_agents_are_compared_in_the_same_dungeons() -> None:
    blank = Episode((0, 0, 0), False, 1, 5, "death", "", 0, [], [], [], [], 0)

    def episodes(wins: int, first: int = 0) -> list[Episode]:
        won = [n < wins for n in range(20)]
        return [
            replace(blank, seeds=(first + n, 0, 0), success=one, deepest=1 + one) for n, one in enumerate(won)
        ]

    played = {"trained": episodes(15), "explorer": episodes(5), "trained, new levels": episodes(9, 50)}
    levels = {"trained": 4, "explorer": 4, "trained, new levels": None}
    (row,) = comparisons(asked("depth >= 2"), played, levels, 0.95)
    assert (row["agent"], row["other"], row["of"], row["paired"]) == ("trained", "explorer", "success", True)
    assert row["difference"] == 0.5
    assert row["p_value"] == pytest.approx(2 * 0.5**10, abs=1e-4)  # ten pairs that differ, all one way
    assert "| trained - explorer | +0.50 [" in lines([row])
    (row,) = comparisons(Task("deep", "", ""), played, levels, 0.95)
    assert (row["of"], row["difference"]) == ("deepest", 0.5)


@pytest.mark.parametrize("content", ["[1]", '[{"seeds": [1, 2, 3]}]', '{"a": 1}', '[{"warp": 9}]', "3"])
def test_a_wave_of_another_version_or_hand_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "my waves" / "trained-0.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(
        UserError, match=r"trained-0\.json: cannot be read as episodes: .* remove '.*json', and"
    ):
        evaluate.wave_of(path)
