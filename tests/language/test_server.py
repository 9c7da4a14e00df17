"""The backend that talks to a server, against two in this process: one that misbehaves, and llama.cpp's."""

import gzip
import json
import math
import re
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from chat_server import MODEL, Reply, Server, completion, good, json_reply, number, questions, serving

from maestromotif.config.labels import LanguageSettings
from maestromotif.errors import UserError
from maestromotif.language import backends, gguf, replies, retries, server, transport
from maestromotif.language.model import Chat, LanguageModel

KEY = "a-key-that-nobody-should-see"
ANSWERS = ["Yes", "No"]


def after(failures: list[Reply]) -> Callable[[dict[str, Any]], Reply]:
    """Answers with these first and well after that."""
    left = list(failures)

    def answer(body: dict[str, Any]) -> Reply:
        return left.pop(0) if left else good(body)

    return answer


@pytest.fixture(autouse=True)
def _no_long_pauses_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def running() -> Iterator[Server]:
    server = Server()
    with serving(server):
        yield server


def opened(running: Server, **settings: Any) -> LanguageModel:
    return backends.open_model(
        LanguageSettings.model_validate(
            {"backend": "server", "model": MODEL, "url": running.url, "retries": 2, **settings}
        )
    )


def failed(model: LanguageModel, prompts: list[Chat] | None = None) -> str:
    with pytest.raises(UserError) as raised:
        model.answer_logprobs(prompts or questions(1), ANSWERS)
    return str(raised.value)


def test_answers_in_the_order_asked(running: Server) -> None:
    def slower_the_earlier(body: dict[str, Any]) -> Reply:
        time.sleep(0.01 * (12 - number(body)))
        return good(body)

    running.answer = slower_the_earlier
    found = opened(running, concurrency=4).answer_logprobs(questions(12), [*ANSWERS, "Maybe"])
    np.testing.assert_allclose(np.exp(found[:, 0]), np.arange(1, 13) / 100)
    np.testing.assert_allclose(np.exp(found[:, 1]), 0.02)
    np.testing.assert_allclose(np.exp(found[1:, 2]), 0.01)  # Yesterday, the least likely that was given
    assert 1 < running.most_under_way <= 4
    (first,) = (body for body in running.asked if number(body) == 1)
    expected = {
        "model": MODEL,
        "max_tokens": 1,
        "temperature": 0.0,
        "logprobs": True,
        "top_logprobs": 20,
        "messages": [{"role": "user", "content": "This is number 1"}],
    }
    assert first | expected == first


def test_no_prompts(running: Server) -> None:
    model = opened(running)
    assert model.answer_logprobs([], ANSWERS).shape == (0, 2)
    assert model.complete([], 5, 0.0, 0) == []


def test_complete(running: Server) -> None:
    running.answer = lambda body: json_reply(completion(f"so {number(body)}"))
    model = opened(running, model="llama-3.1-8b-instruct", concurrency=1)
    running.models = [{"id": "meta-llama/Llama-3.1-8B-Instruct", "owned_by": "vllm"}]
    assert model.complete(questions(3), 7, 0.5, 40) == ["so 1", "so 2", "so 3"]
    assert [body["seed"] for body in running.asked] == [40, 41, 42]
    assert {body["model"] for body in running.asked} == {"meta-llama/Llama-3.1-8B-Instruct"}
    assert {(body["max_tokens"], body["temperature"], body["top_p"]) for body in running.asked} == {
        (7, 0.5, 0.9)
    }
    assert model.complete(questions(1), 7, 0.0, 0) == ["so 1"]
    assert "top_p" not in running.asked[-1]


@pytest.mark.parametrize("owner", ["vllm", "somebody else"])
def test_only_servers_that_know_them_get_fields_beyond_openais(running: Server, owner: str) -> None:
    running.models = [{"id": MODEL, "owned_by": owner}]
    opened(running).answer_logprobs(questions(1), ANSWERS)
    assert ("chat_template_kwargs" in running.asked[0]) is (owner == "vllm")


@pytest.mark.parametrize(
    ("owner", "fields"),
    [
        ("vllm", {"structured_outputs": {"grammar": "root ::= [a-z]"}}),
        ("llamacpp", {"grammar": "root ::= [a-z]"}),
        ("somebody else", {}),
    ],
)
def test_a_grammar_is_told_to_servers_that_know_it(
    running: Server, owner: str, fields: dict[str, Any]
) -> None:
    running.models = [{"id": MODEL, "owned_by": owner}]
    running.answer = lambda body: json_reply(completion("a"))
    opened(running).complete(questions(1), 7, 0.0, 0, "root ::= [a-z]")
    (body,) = running.asked
    assert {name: body[name] for name in ("structured_outputs", "grammar") if name in body} == fields


def test_a_begun_message_is_continued(running: Server) -> None:
    running.answer = lambda body: json_reply(completion("2"))
    begun: list[Chat] = [[*questions(1)[0], {"role": "assistant", "content": "Event"}]]
    assert opened(running).complete([*begun, *questions(1)], 1, 0.0, 0) == ["2", "2"]
    told = sorted(running.asked, key=lambda body: len(body["messages"]))
    assert "continue_final_message" not in told[0]
    assert told[1]["continue_final_message"] is True
    assert told[1]["add_generation_prompt"] is False


def test_too_many_questions(running: Server) -> None:
    running.answer = after([json_reply({}, 429, **{"Retry-After": "0.3"})])
    began = time.monotonic()
    opened(running).answer_logprobs(questions(1), ANSWERS)
    assert time.monotonic() - began >= 0.3
    assert len(running.asked) == 2
    running.answer = lambda body: json_reply({}, 429)
    assert "status 429" in (says := failed(opened(running)))
    assert "Lower language.concurrency" in says


def test_a_pause_that_a_server_asks_for_is_bounded_and_said(
    running: Server, caplog: pytest.LogCaptureFixture
) -> None:
    began = time.monotonic()
    for value in ("3600", formatdate(time.time() + 3600, usegmt=True)):
        caplog.clear()
        running.answer = after([json_reply({}, 429, **{"Retry-After": value})])
        opened(running, timeout=0.5).answer_logprobs(questions(1), ANSWERS)
        said = r"try 2 of 3 in 0\.5 s; the server asks for a pause of 3[56]\d\d s, but language\.timeout"
        assert re.search(said, caplog.text)
    running.answer = after([json_reply({}, 429, **{"Retry-After": "1e308"})])
    opened(running, timeout=0.5).answer_logprobs(questions(1), ANSWERS)
    assert "asks for a pause of 1e+308 s" in caplog.text
    assert time.monotonic() - began < 30


def test_retry_after_as_a_date() -> None:
    def asks_for(value: str) -> float:
        return replies.retry_after(httpx.Response(429, headers={"Retry-After": value}))

    assert asks_for(formatdate(time.time() + 100, usegmt=True)) == pytest.approx(100, abs=2)
    assert asks_for(formatdate(time.time() - 100, usegmt=True)) == 0
    assert asks_for("soon") == asks_for("inf") == asks_for("nan") == 0
    assert replies.retry_after(httpx.Response(429)) == 0


BROKEN: list[Reply] = [
    json_reply({"error": "out of memory"}, 500),
    json_reply({}, 503),
    (200, {}, json.dumps(completion("Yes", Yes=0.5)).encode()[:40]),  # half an answer
    (200, {"Content-Length": "1000"}, b"{"),  # half an answer, and the connection is closed
    (200, {}, b"<html>Welcome to the proxy</html>"),
    (200, {}, b"\xff\xfe\xfd"),
    json_reply({"detail": "something else"}),
    json_reply(["a list"]),
    json_reply({"choices": [{"message": {"content": 5}}]}),
]


WHOLE = gzip.compress(json.dumps(completion("Yes", Yes=0.5)).encode())
BROKEN += [
    json_reply({"choices": []}),
    json_reply({"choices": [{"message": {"content": "Yes"}, "logprobs": {"content": "Yes"}}]}),
    (200, {"Content-Encoding": "gzip"}, b"no gzip"),
    (200, {"Content-Encoding": "gzip", "Content-Length": "1000"}, WHOLE[:40]),
    (200, {"Content-Type": "text/event-stream"}, b"data: {}\n\n"),
    (200, {}, b"[" * 100_000),
    (504, {"Content-Type": "text/html"}, b"<html>Gateway Timeout</html>"),
    json_reply({}, 429, **{"Retry-After": "soon"}),
    (204, {}, b""),
    (200, {"Transfer-Encoding": "chunked", "Content-Length": "9"}, b"no size\r\n"),
    (200, {"Transfer-Encoding": "chunked", "Content-Length": "9"}, b"400\r\n{"),
    *(
        json_reply({"choices": [{"message": {"content": "Yes"}, "finish_reason": reason}]})
        for reason in ("abort", "insufficient_system_resource")
    ),
    json_reply({"choices": [{"message": {"content": ""}, "error": {"code": 502}, "logprobs": None}]}),
    json_reply({"error": {"code": 502}, **completion("Yes", Yes=0.9)}),
    json_reply(completion("Yes")),  # of one that gives no log-probabilities, among several behind a gateway
]


@pytest.mark.parametrize("broken", BROKEN)
def test_what_passes_is_asked_again(running: Server, broken: Reply) -> None:
    if "Content-Length" in broken[1]:
        broken[1]["Connection"] = "close"
    running.answer = after([good({"messages": [{"content": "is 1"}]}), broken, broken])
    found = opened(running, concurrency=1).answer_logprobs(questions(2, start=49), ANSWERS)
    assert np.exp(found[:, 0]) == pytest.approx([0.01, 0.5])
    assert len(running.asked) == 4


def test_what_does_not_pass_after_all(running: Server) -> None:
    running.answer = lambda body: json_reply({"error": "out of memory"}, 500)
    says = failed(opened(running, concurrency=1), questions(2))
    assert f"{running.url}: status 500: " in says
    assert "out of memory" in says
    assert "tried 3 times (language.retries)" in says
    assert "This was question 1 of 2; 0 were answered" in says
    running.answer = lambda body: (200, {}, b"x" * 1000)
    assert "the reply is not JSON: '" + "x" * 200 + "';" in failed(opened(running))


def test_how_many_were_answered(running: Server) -> None:
    running.answer = lambda body: good(body) if number(body) < 3 else json_reply({}, 400)
    says = failed(opened(running, concurrency=1), questions(5))
    assert "This was question 3 of 5; 2 were answered" in says


def test_no_logprobs(running: Server) -> None:
    running.answer = lambda body: json_reply(completion("Yes"))
    assert "the reply has no log-probabilities" in failed(opened(running))
    assert len(running.asked) == 1


def test_nothing_said(running: Server) -> None:
    """The model ended at once: no token, and so no answer among the likeliest."""
    nothing = {"choices": [{"message": {"content": ""}, "logprobs": {"content": []}}]}
    running.answer = lambda body: json_reply(nothing)
    assert np.isneginf(opened(running).answer_logprobs(questions(1), ANSWERS)).all()


@pytest.mark.parametrize("logprob", [math.nan, None, math.inf, "so", True, [1], 3.0])
def test_what_is_no_logprob_is_no_answer_and_the_rest_is_kept(
    running: Server, tmp_path: Path, logprob: Any
) -> None:
    """Of an answer, in the second question, and of another token, in the third; also in the recording."""

    def odd(body: dict[str, Any]) -> Reply:
        reply = completion("Yes", Maybe=0.01, Yes=0.5, No=0.1)
        if number(body) > 1:
            tokens = reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
            tokens[2 if number(body) == 2 else 0]["logprob"] = logprob
            tokens.append({"token": None, "logprob": -1.0})
            tokens.append("no token")
        return json_reply(reply)

    running.answer = odd
    file = str(tmp_path / "answers.jsonl")
    found = opened(running, record=file).answer_logprobs(questions(3), ANSWERS)
    assert np.isneginf(found[1]).all()
    np.testing.assert_allclose(np.exp(found[[0, 2]]), [[0.5, 0.1], [0.5, 0.1]])
    again = LanguageSettings(backend="recorded", model=MODEL, path=file)
    np.testing.assert_array_equal(backends.open_model(again).answer_logprobs(questions(3), ANSWERS), found)


@pytest.mark.parametrize(
    "held",
    [
        json_reply({"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}]}),
        json_reply({"choices": [{"message": {"content": None, "refusal": "I cannot"}, "logprobs": None}]}),
        json_reply({"choices": [{"message": {"content": [{"type": "refusal", "refusal": "I cannot"}]}}]}),
        json_reply({"error": {"code": "content_filter", "message": "The response was filtered"}}, 400),
    ],
)
def test_a_question_that_a_filter_holds_back_is_no_answer(running: Server, held: Reply) -> None:
    running.answer = lambda body: held if number(body) == 1 else good(body)
    found = opened(running, concurrency=1).answer_logprobs(questions(2), ANSWERS)
    assert np.isneginf(found[0]).all()
    assert np.isfinite(found[1]).all()
    assert len(running.asked) == 2


def test_what_a_filter_writes_itself_is_no_answer(running: Server) -> None:
    """It is asked again, because another server behind the gateway may answer, but does not end the run."""
    running.answer = lambda body: json_reply(completion("I cannot")) if number(body) == 2 else good(body)
    found = opened(running, concurrency=1).answer_logprobs(questions(3), ANSWERS)
    assert np.isneginf(found).all(1).tolist() == [False, True, False]
    assert len(running.asked) == 5


def test_what_a_server_sends_too_much_is_not_the_reply_to_the_next_question(running: Server) -> None:
    _, _, body = good({"messages": [{"content": "is 1"}]})
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    running.answer = after([(200, {"Content-Length": str(len(body))}, body + head + body)])
    found = opened(running, concurrency=1).answer_logprobs(questions(2, start=49), ANSWERS)
    assert np.exp(found[:, 0]) == pytest.approx([0.01, 0.5])


def test_every_status_of_a_success_is_one(running: Server) -> None:
    running.answer = lambda body: (201, *good(body)[1:])
    assert np.isfinite(opened(running).answer_logprobs(questions(1), ANSWERS)).all()


def test_a_message_in_parts_and_one_with_reasons(running: Server) -> None:
    parts = {"content": [{"type": "reasoning", "summary": []}, {"type": "text", "text": "Answer: 1"}]}
    reasons = {"content": None, "reasoning_content": "Let me think"}
    halves = {"content": "so \ud83d"}
    for message, text in ((parts, "Answer: 1"), (reasons, ""), (halves, "so \ufffd")):
        running.answer = after([json_reply({"choices": [{"message": message}]})])
        assert opened(running).complete(questions(1), 7, 0.0, 0) == [text]


def test_halves_of_surrogate_pairs_are_not_sent(running: Server) -> None:
    prompt: list[Chat] = [[{"role": "user", "content": "x \ud83d y 50"}]]
    assert np.isfinite(opened(running).answer_logprobs(prompt, ANSWERS)).all()
    assert running.asked[0]["messages"][0]["content"] == "x \ufffd y 50"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(running: Server, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    to = f"https://me:hunter2@there.example/v2?key={KEY}"
    running.answer = lambda body: (status, {"Location": to}, b"")
    says = failed(opened(running))
    assert f"sends requests on to https://there.example/v2 (status {status})" in says
    assert "set language.url" in says
    assert KEY not in says
    assert "hunter2" not in says


@pytest.mark.parametrize("listed", ["*", "some/*", "*model", "s*/mo*l"])
def test_a_gateway_that_lists_a_pattern(running: Server, listed: str) -> None:
    running.models = [{"id": listed}, {"id": "other"}]
    opened(running).answer_logprobs(questions(1), ANSWERS)
    (found,) = server.check(LanguageSettings(backend="server", model=MODEL, url=running.url))
    assert found.state == "ok"


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        (json_reply([{"id": MODEL}]), "ok"),
        (json_reply({"data": [{"id": MODEL}, "x", None, {"id": None}]}), "ok"),
        (json_reply({"data": {MODEL: {}}}), "missing"),
        (json_reply({"data": [{"id": None}]}), "missing"),
        (json_reply({}, 501), "missing"),
    ],
)
def test_lists_of_models_in_other_shapes(running: Server, reply: Reply, state: str) -> None:
    running.refuses_get = reply
    opened(running, retries=0).answer_logprobs(questions(1), ANSWERS)
    (found,) = server.check(LanguageSettings(backend="server", model=MODEL, url=running.url))
    assert found.state == state


def test_an_address_without_its_v1(running: Server) -> None:
    settings = LanguageSettings(backend="server", model=MODEL, url=running.url.removesuffix("/v1"))
    (found,) = server.check(settings)
    assert f"the server is at {running.url}; set language.url to that address" in found.what
    with pytest.raises(UserError, match="the server is at"):
        backends.reach(settings)


def test_a_server_that_is_started_with_another_model_meanwhile(running: Server) -> None:
    model = opened(running)
    model.answer_logprobs(questions(1), ANSWERS)

    def restarts(body: dict[str, Any]) -> Reply:
        running.models = [{"id": "another"}]
        return good(body)

    running.answer = restarts
    assert "it has another" in failed(model)
    running.refuses_get = json_reply({}, 503)  # it is busy
    assert np.isfinite(model.answer_logprobs(questions(1), ANSWERS)).all()


def test_the_list_of_models_need_not_be_asked_for(running: Server) -> None:
    running.models = [{"id": "other/*"}]
    assert "set language.check_model=false" in failed(opened(running))
    opened(running, check_model=False).answer_logprobs(questions(1), ANSWERS)
    running.refuses_get = json_reply({}, 500)
    assert "status 500: '{}'; tried 3 times" in (says := failed(opened(running)))
    assert "A server that lists no models can be used with language.check_model=false" in says


def test_the_doctor_waits_for_a_slow_server_only_for_a_while(
    running: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that sends a byte now and then."""
    monkeypatch.setattr(server, "CONNECT_TIMEOUT", 0.3)
    running.drips = True
    began = time.monotonic()
    (found,) = server.check(LanguageSettings(backend="server", model=MODEL, url=running.url))
    running.drips = False
    assert "no answer within 0.3 s" in found.what
    assert time.monotonic() - began < 3


def test_keys(running: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    opened(running).answer_logprobs(questions(1), ANSWERS)
    monkeypatch.setenv("MY_KEY", KEY)
    opened(running, api_key_variable="MY_KEY").answer_logprobs(questions(1), ANSWERS)
    assert running.keys == [None, f"Bearer {KEY}"]

    running.answer = lambda body: json_reply({"error": f"wrong key {KEY}"}, 401)
    refused = failed(opened(running, api_key_variable="MY_KEY"))
    assert "rejects the key in the environment variable MY_KEY (language.api_key_variable)" in refused
    assert "needs a key; put it in the environment variable OPENAI_API_KEY" in failed(opened(running))
    assert len(running.asked) == 4  # each was asked once
    running.answer = lambda body: json_reply({"error": f"I hate {KEY}"}, 500)
    (found,) = server.check(LanguageSettings(backend="server", url=running.url, api_key_variable="MY_KEY"))
    running.refuses_get = json_reply({"error": f"wrong key {KEY}"}, 401)
    (other,) = server.check(LanguageSettings(backend="server", url=running.url, api_key_variable="MY_KEY"))
    assert "rejects the key in the environment variable MY_KEY" in other.what
    running.refuses_get = None
    assert KEY not in found.what + other.what
    assert KEY not in failed(opened(running, api_key_variable="MY_KEY")) + refused + caplog.text


def test_a_model_that_is_not_served(running: Server) -> None:
    running.models = [{"id": "one"}, {"id": "two"}]
    says = failed(opened(running))
    assert f"the server has no model '{MODEL}' (language.model); it has one, two" in says
    assert running.asked == []


def test_a_server_that_does_not_list_its_models(running: Server) -> None:
    running.models = None
    opened(running).answer_logprobs(questions(1), ANSWERS)
    running.answer = lambda body: json_reply({"error": "no such model"}, 404)
    assert f"no chat completions for '{MODEL}' at this address; language.url" in failed(opened(running))
    assert len(running.asked) == 2


def test_a_prompt_that_is_too_long(running: Server) -> None:
    message = "This model's maximum context length is 512 tokens. However, you requested 600 tokens"
    running.answer = lambda body: json_reply({"error": {"message": message}}, 400)
    says = failed(opened(running))
    assert "a prompt is too long" in says
    assert "maximum context length is 512 tokens" in says
    assert len(running.asked) == 1


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("Your input exceeds the context window of this model", "a prompt is too long"),
        ("top_logprobs must be at most 5", "Set language.top_logprobs to its limit"),
        ("This model does not support logprobs", "or name a model for which it gives them"),
        ("Use 'max_completion_tokens' instead", "the server refused the request. It says status 400"),
    ],
)
def test_what_a_server_refuses_names_the_setting(running: Server, message: str, says: str) -> None:
    running.answer = lambda body: json_reply({"error": {"message": message}}, 400)
    found = failed(opened(running))
    assert says in found
    assert message in found.replace("\\'", "'")
    assert len(running.asked) == 1


@pytest.mark.parametrize("charset", ["klingon", "base64", "zlib_codec", "idna", "undefined", "utf-16"])
def test_a_refusal_in_any_charset_is_shown(running: Server, charset: str) -> None:
    reply = (400, {"Content-Type": f"text/plain; charset={charset}"}, b"model is overloaded ")
    running.answer = lambda body: reply
    assert "status 400: '" in failed(opened(running))


@pytest.mark.parametrize("place", ["javascript:alert(1)", "http://[::1", "http://exa\xe9mple/", "\x01://"])
def test_a_redirect_to_no_address_is_told(running: Server, place: str) -> None:
    running.answer = lambda body: (302, {"Location": place}, b"")
    assert re.search("sends requests on to|Location|location", failed(opened(running)))


@pytest.mark.parametrize("coding", ["", "gzip"])
def test_a_reply_without_an_end_is_cut_off(running: Server, coding: str) -> None:
    spaces = b" " * (transport.LARGEST + 1)
    reply = (200, {"Content-Encoding": coding}, gzip.compress(spaces, 1)) if coding else (200, {}, spaces)
    running.answer = after([reply])
    assert np.isfinite(opened(running).answer_logprobs(questions(1, 50), ANSWERS)).all()
    running.answer = lambda body: reply
    assert "the reply has more than 16 MiB" in failed(opened(running, retries=0))


def test_probabilities_that_sum_to_more_than_one_are_no_answer(running: Server) -> None:
    running.answer = lambda body: json_reply(completion("Yes", Yes=0.9, _Yes=0.9, No=0.1))
    assert np.isneginf(opened(running).answer_logprobs(questions(1), ANSWERS)).all()
    running.answer = lambda body: json_reply(completion("Yes", Yes=1.0, No=1.0))  # an invented tie
    assert np.isneginf(opened(running).answer_logprobs(questions(1), ANSWERS)).all()
    running.answer = lambda body: json_reply(completion("Yes", Yes=0.5, _Yes=0.502, No=0.001))  # by rounding
    assert opened(running).answer_logprobs(questions(1), ANSWERS)[0, 0] == 0.0


def test_a_reply_that_ends_with_the_servers_own_error_is_asked_again(running: Server) -> None:
    half = {"choices": [{"message": {"content": "so"}, "finish_reason": "error"}]}
    running.answer = after([json_reply(half), json_reply(completion("so 5"))])
    assert opened(running).complete(questions(1), 7, 0.0, 0) == ["so 5"]


def test_another_model_than_the_one_asked_is_told(running: Server, caplog: pytest.LogCaptureFixture) -> None:
    other = {**completion("Yes", Yes=0.5, No=0.4), "model": "cheap/model"}
    running.answer = lambda body: json_reply(other)
    opened(running).answer_logprobs(questions(3), ANSWERS)
    assert caplog.text.count("the server says that 'cheap/model' answers") == 1
    names = iter(range(100))
    running.answer = lambda body: json_reply({**other, "model": f"{next(names)}" + "x" * 50_000})
    opened(running).answer_logprobs(questions(20), ANSWERS)
    assert 3 < caplog.text.count("the server says that") < 10
    assert len(caplog.text) < 5_000
    caplog.clear()
    running.answer = lambda body: json_reply({**other, "model": MODEL})
    opened(running).answer_logprobs(questions(1), ANSWERS)
    assert not caplog.text


def test_names_of_models_that_would_fill_or_repaint_a_terminal(running: Server) -> None:
    running.models = [{"id": "x" * 100_000}, {"id": "a\x1b[31mb"}]
    says = failed(opened(running))
    assert len(says) < 2_000
    assert "\x1b" not in says
    running.answer = lambda body: (302, {"Location": "https://there.example/" + "y" * 20_000}, b"")
    assert len(failed(opened(running, check_model=False))) < 2_000
    running.models = [{"id": "*o" * 40 + "x"}]  # a regular expression of it would take hours
    assert "has no model" in failed(opened(running))


def test_slow(running: Server) -> None:
    gone = threading.Event()

    def slow(body: dict[str, Any]) -> Reply:
        gone.wait(5)
        return good(body)

    running.answer = slow
    says = failed(opened(running, timeout=0.1, retries=1))
    gone.set()
    assert "no answer within 0.1 s; tried 2 times" in says
    assert "Raise language.timeout" in says


def test_a_limit_of_open_files(running: Server) -> None:
    """It is this process's own, so no server is to be started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir()))

    def slow(body: dict[str, Any]) -> Reply:
        time.sleep(0.5)
        return good(body)

    running.answer = slow
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, hard))
    try:
        says = failed(opened(running, concurrency=200, retries=0), questions(200))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "may open no more connections (Too many open files). Lower language.concurrency" in says


def test_down() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        settings = LanguageSettings(backend="server", model="llama-3.3-70b-instruct", url=url, retries=1)
        says = failed(backends.open_model(settings))
        assert f"{url}: no server answers (Connection refused)" in says
        assert "vllm serve meta-llama/Llama-3.3-70B-Instruct" in says
        with pytest.raises(UserError, match="no server answers"):
            server.served_models(settings)


def test_a_server_that_starts_late() -> None:
    """Its models are looked at before the first question also then."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started: list[Server] = []

    def start_late() -> None:
        time.sleep(0.2)
        started.append(Server(port))
        started[0].models = [{"id": "another"}]
        started[0].serve_forever(poll_interval=0.01)

    thread = threading.Thread(target=start_late)
    thread.start()
    url = f"http://127.0.0.1:{port}/v1"
    settings = LanguageSettings(backend="server", model=MODEL, url=url, retries=8)
    assert "it has another" in failed(backends.open_model(settings))
    started[0].shutdown()
    thread.join()
    started[0].server_close()


def test_llama_cpps_server_says_what_llama_cpp_says() -> None:
    """The same model in this process and behind HTTP."""
    inside = gguf.load(LanguageSettings(model="smollm2-135m-instruct", threads=1, context=512))
    url = f"{inside._server.listening_address}/v1"
    served = server.served_models(LanguageSettings(backend="server", url=url))
    settings = LanguageSettings(backend="server", model=served[0], url=url, top_logprobs=64, retries=0)
    model = backends.open_model(settings)
    begun = "A small animal is"
    asked: list[Chat] = [
        [{"role": "user", "content": "Is a dog an animal? Answer Yes or No."}],
        [{"role": "user", "content": "Name an animal."}, {"role": "assistant", "content": begun}],
    ]
    here, there = (one.answer_logprobs(asked, ["Yes", "No", "the"]) for one in (inside, model))
    np.testing.assert_allclose(here, there, atol=0.05)
    said = inside.complete(asked, 6, 0.0, 0)
    assert model.complete(asked, 6, 0.0, 0) == said
    assert said[1]
    assert not said[1].startswith(begun)
    with pytest.raises(UserError, match="a prompt is too long"):
        model.answer_logprobs([[{"role": "user", "content": "x " * 2000}]], ANSWERS)
