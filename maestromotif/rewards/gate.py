"""Stage `gate`: before training, each skill's reward must match what the skill's text asks for.

A skill's text names events that the skill is for (`wanted`) and events that must not be rewarded
(`forbidden`). events.py finds them on the collected steps, independently of any language model. The gate
judges what training will pay, the first time in an episode: pay = 1[z > theta] * z.

    AUC     = P(z_wanted > z_other) + P(z_wanted = z_other) / 2     are wanted events rewarded above all else?
    paid(e) = share of the steps with e on which z > theta          does training pay for e?

A skill passes if its AUC is high, each wanted event is paid, and these are not: forbidden events, a step
on which nothing changed, dying, and praying (unless the text wants it). No pay may be negative: an agent that
is charged for every idle step learns to die early.

AUC (Mann-Whitney; Hanley and McNeil, 1982) is over distinct observations, because a reward is a function of
them. Its interval is a bootstrap over them, separately for both sides. `other` is every observation without a
wanted event. theta is the threshold that training will use. Steps with both a wanted and a forbidden event,
and wanted events that are too rare to judge, are on neither side.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from maestromotif.collect import observations
from maestromotif.config.labels import GateSettings
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.nethack.state import CHANGES, DEPTH_CHANGE
from maestromotif.pipeline.store import Artefact, Work
from maestromotif.rewards.model import RewardModels, load_rewards
from maestromotif.skill import Skill, change_behind, skill_files, skills_of
from maestromotif.tracking.logged import Logged
from maestromotif.tracking.tracker import SILENT, Tracker

log = logging.getLogger("maestromotif")

BOOTSTRAPS = 1000
NOTHING = "nothing changed"  # an empty message, and no change that the reward sees
# Not paid for by any skill, unless its text wants the event or one of those beside it.
NEVER: dict[str, tuple[str, ...]] = {NOTHING: (), "died": (), "prayed": ("prayed_well",)}


@dataclass(frozen=True)
class Situations:
    """What happened on the S collected steps, and the rewards of the I distinct observations."""

    item: np.ndarray  # int64 [S]: the observation of each step
    events: dict[str, np.ndarray]  # bool [S] for each event
    z: np.ndarray  # float32 [I, K]


@dataclass(frozen=True)
class Row:
    """One event of one skill, or all its wanted events together."""

    skill: str
    event: str
    side: str  # wanted, forbidden, never (of any skill), or all (wanted)
    steps: int
    distinct: int  # observations
    judged: bool
    paid: float | None  # share of the steps with z above the threshold
    mean_z: float | None
    pay: float | None  # mean of 1[z > threshold] * z
    auc: float | None = None
    low: float | None = None
    high: float | None = None


LOGGED = (
    Logged("gate/problems", "problems", "How many rewards do not do what their texts say."),
    Logged("gate/{skill}/auc", "AUC", "How well the reward ranks steps with wanted events above the others."),
    Logged("gate/{skill}/paid_wanted", "share", "Share of the steps with wanted events that are paid."),
    Logged("gate/{skill}/paid_forbidden", "share", "Largest share of paid steps of one forbidden event."),
    Logged("gate/events", "table", "Every event of the skills' texts, and what its steps are paid."),
)


def _track(tracker: Tracker, rows: Sequence[Row], problems: Sequence[str]) -> None:
    figures: dict[str, int | float] = {"gate/problems": len(problems)}
    for row in rows:
        if row.side == "all" and row.auc is not None:
            figures[f"gate/{row.skill}/auc"] = row.auc
        if row.side == "all" and row.paid is not None:
            figures[f"gate/{row.skill}/paid_wanted"] = row.paid
        if row.side == "forbidden" and row.paid is not None:
            name = f"gate/{row.skill}/paid_forbidden"
            figures[name] = max(row.paid, figures.get(name, 0.0))
    tracker.row(0, figures)
    columns = ["skill", "side", "event", "steps", "paid", "mean_z", "auc"]
    table = [[row.skill, row.side, row.event, row.steps, row.paid, row.mean_z, row.auc] for row in rows]
    tracker.table(0, "gate/events", columns, table)


def reads(config: Config) -> dict[str, str]:
    """Path -> SHA-256 of the skill files."""
    return skill_files(config)


def run(config: Config, inputs: dict[str, Artefact], work: Work, tracker: Tracker = SILENT) -> dict[str, Any]:
    """Run the stage. Raises UserError if a skill fails and `gate.enforce` is on."""
    skills = skills_of(config)
    models = load_rewards(inputs["distil"].path, config.skills)
    folder = inputs["collect"].path
    situations = read_situations(folder, models, config.annotate.changes)
    for skill in skills:
        for event in (*skill.wanted, *skill.forbidden):
            if event not in situations.events:
                raise UserError(
                    f"{folder / observations.FILE}: was collected by a version without the event '{event}', "
                    f"which {skill.path} names; run `collect` again"
                )
    thresholds = models.thresholds(config.reward)
    rows: list[Row] = []
    problems: list[str] = []
    for k, skill in enumerate(skills):
        if not skill.wanted:
            log.info(
                "gate: %s: %s names no `wanted` events, so only what is never paid is judged",
                skill.name,
                skill.path,
            )
        random = np.random.default_rng([config.run.seed, 5, k])
        threshold = float(thresholds[k])
        own = judge(skill, situations, k, threshold, config.gate, random)
        if share := charged(situations, k, threshold):
            problems.append(
                f"{skill.name}: training charges {share:.0%} of the steps, because the threshold is "
                f"{threshold:.2f}, below 0: dying early would save the agent pay. Set "
                "reward.least_threshold to 0."
            )
        for row in own:
            if not row.judged:
                log.info("gate: %s: '%s' happened on %d steps: not judged", skill.name, row.event, row.steps)
        rows += own
        for event, what in _failures(own, config.gate):
            row = next(row for row in own if row.event == event)
            unpaid = row.paid == 0 and row.auc is not None and row.auc >= config.gate.auc
            problems.append(f"{what} {_advice(skill, event, config, unpaid)}")
    page = _page(rows, problems, config.gate)
    work.write_json(
        "gate.json",
        {
            "settings": config.gate.model_dump(),
            "thresholds": {skill.name: float(thresholds[k]) for k, skill in enumerate(skills)},
            "not_gated": [skill.name for skill in skills if not skill.wanted],
            "rows": [asdict(row) for row in rows],
            "problems": problems,
        },
    )
    work.write_text("gate.md", page)
    _track(tracker, rows, problems)
    if problems and config.gate.enforce:
        raise UserError(
            f"{work.path / 'gate.md'}: rewards do not match the skills' texts:\n"
            + page
            + "\nTo train on them anyway: gate.enforce=false"
        )
    for problem in problems:
        log.warning("gate: %s", problem)
    return {"passed": not problems, "problems": len(problems)}


def read_situations(folder: Path, models: RewardModels, spoken: Sequence[str]) -> Situations:
    """The collected steps with the rewards of their observations."""
    collected, counts = observations.load(folder), observations.event_steps(folder)
    changes = observations.canonical(collected.changes, tuple(CHANGES))  # all, in captions or not
    silent = np.array([not message.strip() for message in collected.messages], bool)[collected.message_id]
    codes = {name: changes[:, column] > 0 for column, name in enumerate(CHANGES) if column != DEPTH_CHANGE}
    seen = observations.canonical(collected.changes, spoken)
    keys = np.column_stack([collected.message_id, seen.astype(np.int32)])
    distinct, item = np.unique(keys, axis=0, return_inverse=True)
    messages = [bytes(message) for message in collected.messages[distinct[:, 0]]]
    return Situations(
        item.reshape(-1),
        counts | codes | {NOTHING: silent & ~seen.any(1)},
        models.score(messages, distinct[:, 1:].astype(np.int8)),
    )


def judge(
    skill: Skill,
    situations: Situations,
    k: int,
    threshold: float,
    settings: GateSettings,
    random: np.random.Generator,
) -> list[Row]:
    """A row for all wanted events together, then one for each wanted, forbidden and never paid event."""
    z, item = situations.z[:, k].astype(np.float64), situations.item
    none = np.zeros(len(item), bool)
    on = {event: situations.events[event] for event in (*skill.wanted, *skill.forbidden)}
    any_wanted = np.any([on[event] for event in skill.wanted], axis=0) if skill.wanted else none
    any_forbidden = np.any([on[event] for event in skill.forbidden], axis=0) if skill.forbidden else none
    others = np.unique(item[~any_wanted])

    def row(event: str, side: str, steps: np.ndarray, judged: bool, ranked: bool) -> Row:
        found = np.unique(item[steps])
        figures: dict[str, Any] = {}
        if ranked and judged and len(found) and len(others):
            figures = dict(zip(("auc", "low", "high"), auc(z[found], z[others], random), strict=True))
        own = z[item[steps]]
        return Row(
            skill=skill.name,
            event=event,
            side=side,
            steps=int(steps.sum()),
            distinct=len(found),
            judged=judged,
            paid=round(float((own > threshold).mean()), 4) if len(own) else None,
            mean_z=round(float(own.mean()), 4) if len(own) else None,
            pay=round(float(np.where(own > threshold, own, 0.0).mean()), 4) if len(own) else None,
            **figures,
        )

    rows = []
    judged_steps = none
    for event in skill.wanted:
        steps = on[event] & ~any_forbidden
        enough = int(steps.sum()) >= settings.fewest
        judged_steps = judged_steps | (steps & enough)
        rows.append(row(event, "wanted", steps, enough, ranked=True))
    never = {event: situations.events[event] for event in never_paid(skill) if event in situations.events}
    for side, events in (("forbidden", {event: on[event] for event in skill.forbidden}), ("never", never)):
        for event, steps in events.items():
            least = 1 if event == NOTHING else settings.fewest  # nothing is one observation, always the same
            rows.append(row(event, side, steps, int(steps.sum()) >= least, ranked=False))
    if not skill.wanted:
        return rows
    return [row("all wanted", "all", judged_steps, bool(judged_steps.any()), ranked=True), *rows]


def never_paid(skill: Skill) -> list[str]:
    """The events of `NEVER` that this skill's text does not want."""
    named = {*skill.wanted, *skill.forbidden, *skill.progress}
    return [event for event, beside in NEVER.items() if not named & {event, *beside}]


def charged(situations: Situations, k: int, threshold: float) -> float:
    """Share of the collected steps whose pay is negative."""
    z = situations.z[situations.item, k]
    return float(((z > threshold) & (z < 0)).mean())


def auc(wanted: np.ndarray, others: np.ndarray, random: np.random.Generator) -> tuple[float, float, float]:
    """The probability that one of `wanted` is above one of `others`, and its 95 % interval."""
    ranks = rankdata(np.concatenate([wanted, others]))
    n, m = len(wanted), len(others)
    estimate = (ranks[:n].sum() - n * (n + 1) / 2) / (n * m)
    # Samples as counts per distinct reward, so that rewards are sorted only once.
    values, place = np.unique(np.concatenate([wanted, others]), return_inverse=True)
    samples = np.empty(BOOTSTRAPS)
    for i in range(BOOTSTRAPS):
        above = np.bincount(place[:n][random.integers(n, size=n)], minlength=len(values))
        below = np.bincount(place[n:][random.integers(m, size=m)], minlength=len(values))
        samples[i] = (above * (np.cumsum(below) - below / 2)).sum() / (n * m)
    low, high = np.quantile(samples, [0.025, 0.975])
    return round(float(estimate), 4), round(float(low), 4), round(float(high), 4)


def _failures(rows: Sequence[Row], settings: GateSettings) -> list[tuple[str, str]]:
    """Events for which a skill fails, with the reason."""
    failures = []
    for row in rows:
        if row.side == "all" and row.auc is not None and row.auc < settings.auc:
            worst = min(
                (r for r in rows if r.side == "wanted" and r.auc is not None), key=lambda r: r.auc or 0
            )
            failures.append(
                (
                    worst.event,
                    f"{row.skill}: its wanted events are rewarded above all else in {row.auc:.0%} of cases, "
                    f"less than gate.auc = {settings.auc:.0%}; worst is `{worst.event}` ({worst.auc:.0%}).",
                )
            )
        if not row.judged or row.paid is None:
            continue
        if row.side == "wanted" and row.paid == 0:
            failures.append(
                (row.event, f"{row.skill}: is paid on none of the {row.steps} steps with `{row.event}`.")
            )
        most = 0.0 if row.event == NOTHING else settings.forbidden
        if row.side in ("forbidden", "never") and row.paid > most:
            limit = (
                "and should never be" if row.event == NOTHING else f"more than gate.forbidden = {most:.0%}"
            )
            failures.append(
                (
                    row.event,
                    f"{row.skill}: is paid on {row.paid:.0%} of the steps with `{row.event}`, {limit}.",
                )
            )
    return failures


def _advice(skill: Skill, event: str, config: Config, never_paid_for: bool = False) -> str:
    """What may fix it. never_paid_for: the event ranks high enough, but no step with it is paid."""
    if never_paid_for:
        return f"Lower reward.quantile_of.{skill.name}: the threshold lies above what the event is worth."
    if event in NEVER:
        return f"Look at the captions in distil/{skill.name}/card.json; a higher reward.quantile_of may help."
    change = change_behind(event)
    if change is not None and change not in config.annotate.changes:
        return (
            f"annotate.changes lacks {change}, so neither the judge nor the reward sees `{event}` unless a "
            "message says it: add it."
        )
    side = "bad" if event in skill.forbidden else "good"
    return (
        f"Say in {skill.path}, in plain words, that `{event}` is {side}. Look at the captions that are "
        f"rewarded most in distil/{skill.name}/card.json (top). A larger language.model, more "
        "annotate.captions or a higher reward.quantile_of may help."
    )


def _page(rows: Sequence[Row], problems: Sequence[str], settings: GateSettings) -> str:
    """The table in Markdown, with the problems below it."""

    def cell(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    lines = [
        "| skill | event | | steps | distinct | AUC | 95 % | paid | mean pay | mean z |",
        "|---|---|---|--:|--:|--:|---|--:|--:|--:|",
    ]
    for row in rows:
        interval = "" if row.low is None or row.high is None else f"{row.low:.2f} to {row.high:.2f}"
        side = row.side if row.judged else f"{row.side}, not judged"
        figures = [cell(row.auc, ".2f"), interval]
        figures += [cell(row.paid, ".1%"), cell(row.pay, ".2f"), cell(row.mean_z, ".2f")]
        cells = [row.skill, row.event, side, str(row.steps), str(row.distinct), *figures]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        f"Required: AUC of all wanted events at least {settings.auc:.2f}; each wanted event paid; each "
        f"forbidden event, dying and praying paid on at most {settings.forbidden:.0%} of their steps; a step "
        f"on which nothing changed never; no negative pay. Events on fewer than {settings.fewest} steps are "
        "not judged.",
        "",
        *(f"- {problem}" for problem in problems or ["All gated skills pass."]),
        "",
    ]
    return "\n".join(lines)
