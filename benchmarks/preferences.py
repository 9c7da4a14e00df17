"""Cost and quality of labels, compared with asking each pair once. Ends with one line of JSON.

python benchmarks/preferences.py [CONFIG] [KEY=VALUE]... [--pairs 120] [--torch-python PYTHON]

The pairs come from the config's collected observations (stage collect runs if necessary). The judge is the
config's language model, and the skills are the config's.

once     the published method: pairs of observations drawn at random, each asked once, in one order; the
         more probable of the two answers is the label
ours     the config's annotation: distinct captions, drawn by event, judged by `annotate.method`

A usable label is a pair with a valid answer and two different captions. Both sets of labels train reward
models with the config's settings. These, and the annotator before and after curation, are compared with the
`report` part of the gold set. With --torch-python (an interpreter with PyTorch) the benchmark also measures
the speed of distillation, see benchmarks/distil.py. All answers are cached, so a stopped benchmark resumes.
"""

import argparse
import json
from typing import Any

import numpy as np

from maestromotif.annotate.annotate import plan
from maestromotif.annotate.answers import Judge
from maestromotif.annotate.questions import about_pairs
from maestromotif.collect import observations
from maestromotif.config.load import load
from maestromotif.config.schema import Config
from maestromotif.pipeline.progress import Progress
from maestromotif.pipeline.runner import open_run, run_stage
from maestromotif.quality import gold
from maestromotif.quality.figures import agreement, curate, words
from maestromotif.quality.quality import examine
from maestromotif.rewards.card import reads_of
from maestromotif.rewards.fit import best, train
from maestromotif.rewards.model import RewardModels
from maestromotif.rewards.pairs import Judged, hold_out
from maestromotif.skill import skills_of


def judged_of(
    config: Config,
    items: observations.Items,
    captions: np.ndarray,
    pairs: list[np.ndarray],
    labels: list[np.ndarray],
) -> Judged:
    """Training data of reward models; `captions` int [C] are indexes of items, `pairs` index `captions`."""
    messages = [items.message(item) for item in captions.tolist()]
    held_out = hold_out(messages, config.distil.held_out, np.random.default_rng([config.run.seed, 2]))
    ties = [one == 0.5 for one in labels]
    telling = config.annotate.telling
    return Judged(messages, items.changes[captions], held_out, pairs, labels, ties, telling)


def rewards_on_gold(config: Config, judged: Judged) -> dict[str, dict[str, Any]]:
    """Agreement of reward models trained on these labels with part `report` of the gold set."""
    members = train(judged, config.skills, config.distil, config.run.seed)
    spoken = config.annotate.changes
    card = reads_of(config) | {"mean": 0.0, "std": 1.0}
    params = [best(of_skill).params for of_skill in members]
    models = RewardModels(config.skills, [card] * len(params), params)
    found = {}
    for k, (skill, pairs) in enumerate(gold.load_all(config.skills_folder, config.skills).items()):
        asked = [pair for pair in gold.decidable(pairs, spoken)[0] if pair.part == "report"]
        sides = [side for pair in asked for side in (pair.a, pair.b)]
        changes = np.array([side.codes(spoken) for side in sides], np.int8)
        scores = models.score([side.message.encode("latin-1") for side in sides], changes)[:, k]
        target = np.array([pair.target for pair in asked])
        found[skill] = agreement((scores[0::2] - scores[1::2]).astype(np.float64), target, 0.0)["decided"]
    return found


def ask_once(config: Config, items: observations.Items, judge: Judge, count: int) -> dict[str, Any]:
    """Labels of the published method: agreement of their reward models, and calls per usable label."""
    random = np.random.default_rng([config.run.seed, 6])
    share = items.count / items.count.sum()
    drawn = random.choice(len(items), (count, 2), p=share)  # by frequency of the steps
    captions, pairs = np.unique(drawn, return_inverse=True)
    pairs = pairs.reshape(drawn.shape)
    told = [
        items.caption(item, config.annotate.changes, config.annotate.telling) for item in captions.tolist()
    ]
    calls = usable = 0
    kept_pairs, kept_labels = [], []
    with Progress("once", count * len(config.skills), "questions") as progress:
        for skill in skills_of(config):
            # `about_pairs` makes two questions per pair; only those in the drawn order are asked.
            asked = about_pairs("pairwise", skill.description, ([told[a], told[b]] for a, b in pairs))
            judge.ask(asked[0::2], progress)
            logprobs = judge.logprobs(asked[0::2])
            sensible = np.isfinite(logprobs).all(1) & (np.exp(logprobs).sum(1) >= config.annotate.answer_mass)
            good = sensible & (pairs[:, 0] != pairs[:, 1])
            calls, usable = calls + count, usable + int(good.sum())
            kept_pairs.append(pairs[good])
            kept_labels.append((logprobs[good, 0] > logprobs[good, 1]).astype(np.float32))
    judged = judged_of(config, items, captions, kept_pairs, kept_labels)
    return {"calls_per_label": calls / max(usable, 1), "gold": rewards_on_gold(config, judged)}


def ask_ours(config: Config, collected: Any, items: observations.Items, judge: Judge) -> dict[str, Any]:
    """The same for the config's annotation."""
    task, settings = plan(config, collected), config.annotate
    calls = usable = 0
    kept_pairs, kept_labels = [], []
    asked = task.questions()
    with Progress("ours", len(asked), "questions", done=sum(judge.known(asked))) as progress:
        judge.ask(asked, progress)
    for skill in task.skills:
        found = task.comparison(skill).label(judge)
        kept = curate(found.margin, found.consistent, config.curate.keep_margin, settings.tie_margin)
        calls, usable = calls + found.questions, usable + int(kept.sum())
        kept_pairs.append(found.pairs[kept])
        soft = 1 / (1 + np.exp(-found.margin[kept] / config.distil.temperature))
        kept_labels.append(np.where(found.label(settings)[kept] == 0.5, 0.5, soft).astype(np.float32))
    judged = judged_of(config, items, task.drawn, kept_pairs, kept_labels)
    return {"calls_per_label": calls / max(usable, 1), "gold": rewards_on_gold(config, judged)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("config", nargs="?", default="configs/quickstart.yaml")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--pairs", type=int, default=120, help="pairs per skill for `once`")
    parser.add_argument("--torch-python", help="interpreter with PyTorch")
    given = parser.parse_intermixed_args()
    config = load(given.config, given.overrides)
    collected = run_stage(config, "collect", open_run(config, given.config))
    steps = observations.load(collected.path)
    settings = config.annotate
    items = observations.distinct(steps, settings.changes, settings.statistics, settings.horizon)
    judge = Judge(config.language, config.annotate)

    once, ours = ask_once(config, items, judge, given.pairs), ask_ours(config, collected, items, judge)
    annotator = {name: found["gold"]["report"] for name, found in examine(config, None).items()}
    print(f"{'':14}" + "".join(f"{name:>26}" for name in config.skills))
    rows = {
        "once, reward": [once["gold"][name] for name in config.skills],
        "ours, reward": [ours["gold"][name] for name in config.skills],
        "annotator": [annotator[name]["decided"] for name in config.skills],
        "... curated": [annotator[name]["curated"] for name in config.skills],
        "... kept": [annotator[name]["kept"] for name in config.skills],
    }
    for name, figures in rows.items():
        print(f"{name:14}" + "".join(f"{words(figure):>26}" for figure in figures))
    print(f"calls per usable label: once {once['calls_per_label']:.3f}, ours {ours['calls_per_label']:.4f}")
    result: dict[str, Any] = {
        "calls_per_label_gain": round(once["calls_per_label"] / ours["calls_per_label"], 1),
        "gold_agreement": {name: annotator[name]["curated"]["share"] for name in config.skills},
        "gold_kept": {name: annotator[name]["kept"]["share"] for name in config.skills},
        "reward_on_gold_once": {name: once["gold"][name]["share"] for name in config.skills},
        "reward_on_gold_ours": {name: ours["gold"][name]["share"] for name in config.skills},
        "distil_speedup": None,
    }
    if given.torch_python:
        from distil import distil_speedup

        result |= distil_speedup(given.torch_python)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
