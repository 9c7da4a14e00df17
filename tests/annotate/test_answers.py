"""What becomes of a server's answers: labels, nonsense that is counted, and what is kept."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_server import MODEL, Reply, Server, completion, json_reply, serving

from maestromotif.annotate.answers import Judge
from maestromotif.annotate.judge import judge_file
from maestromotif.annotate.labels import Comparison
from maestromotif.config.labels import AnnotateSettings, LanguageSettings
from maestromotif.config.schema import Config
from maestromotif.errors import UserError

CAPTIONS = ["The agent reaches level 2.", "Nothing changed.", "The agent dies."]


@pytest.fixture
def running() -> Iterator[Server]:
    server = Server()
    with serving(server):
        yield server


@pytest.fixture
def config(running: Server, tmp_path: Path) -> Config:
    return Config(
        skills=("descender",),
        tasks=("down",),
        language=LanguageSettings(backend="server", model=MODEL, url=running.url, retries=0),
        annotate=AnnotateSettings(answers=str(tmp_path / "answers"), chunk=4),
    )


def caption_of(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"]).rpartition("What happened: ")[2]


def sure(body: dict[str, Any]) -> Reply:
    """So sure of Yes or of No that the other is not among the likeliest."""
    good = caption_of(body) == CAPTIONS[0]
    spellings = {"Aye": 1e-5, "Sure": 1e-6} if good else {"Nay": 1e-4, "Nope": 1e-5}
    return json_reply(completion("", **{"Yes" if good else "No": 0.999}, **spellings))


def comparison(config: Config) -> Comparison:
    return Comparison("Go down.", CAPTIONS, np.array([[0, 1], [0, 2], [1, 2]]), config.annotate)


def test_a_sure_answer_is_a_label(running: Server, config: Config) -> None:
    running.answer = sure
    judge = Judge(config.language, config.annotate)
    judge.ask(comparison(config).questions())
    found = comparison(config).label(judge)
    assert found.nonsense == 0
    assert found.label(config.annotate).tolist() == [1.0, 1.0, 0.5]
    assert found.score[0] == pytest.approx(math.log(0.999 / 1e-6), abs=1e-3)
    asked = len(running.asked)
    again = Judge(config.language, config.annotate)
    again.ask(comparison(config).questions())
    assert len(running.asked) == asked
    np.testing.assert_array_equal(comparison(config).label(again).score, found.score)


def test_what_another_model_may_have_answered_is_not_kept_and_the_rest_is(
    running: Server, config: Config
) -> None:
    """The server is started with another model within the second chunk; a rerun asks that chunk again."""
    few = config.model_copy(update={"annotate": config.annotate.model_copy(update={"chunk": 2})})
    asked = comparison(few).questions()

    def restarts(body: dict[str, Any]) -> Reply:
        if len(running.asked) == 3:
            running.models = [{"id": "another"}]
        return sure(body)

    running.answer = restarts
    with pytest.raises(UserError, match="it has another"):
        Judge(few.language, few.annotate).ask(asked)
    running.models = [{"id": MODEL}]
    again = Judge(few.language, few.annotate)
    assert again.known(asked) == [True, True, False]
    again.ask(asked)
    assert len(running.asked) == 4
    assert comparison(few).label(again).nonsense == 0


def test_what_cannot_be_read_is_counted_and_the_rest_is_kept(running: Server, config: Config) -> None:
    def odd(body: dict[str, Any]) -> Reply:
        reply = completion("", Yes=0.5, No=0.25)
        if caption_of(body) == CAPTIONS[1]:
            reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"][0]["logprob"] = math.nan
        return json_reply(reply)

    running.answer = odd
    judge = Judge(config.language, config.annotate)
    judge.ask(comparison(config).questions())
    found = comparison(config).label(Judge(config.language, config.annotate))
    assert (found.questions, found.nonsense) == (3, 1)
    assert np.isnan(found.label(config.annotate)).tolist() == [True, False, True]


def test_a_judge_that_spells_in_its_own_way_gives_the_same_labels(running: Server, config: Config) -> None:
    def shouts(body: dict[str, Any]) -> Reply:
        good = caption_of(body) == CAPTIONS[0]
        tokens = {"\u0120YES": 0.5, "yes.": 0.3, "no": 0.1} if good else {" NO": 0.5, "**no": 0.3, "yes": 0.1}
        return json_reply(completion("", **tokens))

    running.answer = shouts
    judge = Judge(config.language, config.annotate)
    judge.ask(comparison(config).questions())
    found = comparison(config).label(judge)
    assert found.nonsense == 0
    assert found.score == pytest.approx([math.log(8), -math.log(8), -math.log(8)], abs=1e-3)


def test_answers_that_older_versions_did_not_find_are_asked_again(running: Server, config: Config) -> None:
    running.answer = sure
    asked = comparison(config).questions()
    judge = Judge(config.language, config.annotate)
    known = {asked[0].key: [-0.001, None], asked[1].key: [None, None], asked[2].key: [-0.5, -1.0]}
    line = json.dumps({"seconds": 1.0, "answers": known})
    (judge.folder / "older.jsonl").write_text(line + "\n")
    judge = Judge(config.language, config.annotate)
    assert judge.known(asked) == [False, False, True]
    judge.ask(asked)
    assert len(running.asked) == 2


def test_half_a_surrogate_pair_in_a_caption(running: Server, config: Config, tmp_path: Path) -> None:
    running.answer = lambda body: json_reply(completion("", Yes=0.5, No=0.25))
    captions = ["x \ud83d y", "z"]
    asked = Comparison("Go down.", captions, np.array([[0, 1]]), config.annotate)
    judge = Judge(config.language, config.annotate)
    judge.ask(asked.questions())
    assert asked.label(judge).label(config.annotate).tolist() == [0.5]
    assert "x \ufffd y" in {caption_of(body) for body in running.asked}
    pair = {"skill": "Go down.", "a": captions[0], "b": captions[1]}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(pair) + "\n")
    with pytest.raises(UserError, match=r"pairs\.jsonl:1: .*half of a surrogate pair"):
        list(judge_file(config, tmp_path / "pairs.jsonl"))
