"""What the report needs of each artefact's files, as `files.check` compares it."""

from maestromotif.quality.oracle import NAME as ORACLE
from maestromotif.report.files import FIGURE, MAYBE, NONE, NUMBER, Each

COLLECTED = [{"source": (str, int), "deepest": int, "end": (str, int)}]
CAPTION = {"id": int, "caption": str}
SCORE = {"id": int, "score": NUMBER}
FIGURES = {"events?": [{"event": str, "score": NUMBER, "captions": int}]}

_GOLD = {f"{name}?": FIGURE for name in ("decided", "ties", "curated", "kept")} | {"kinds?": Each(FIGURE)}
_MEASURED = ("unanswered", "ties", "same", "kept", "nonsense", "repeat", ORACLE, f"{ORACLE}, kept")
QUALITY = Each(
    {
        **{f"{name}?": FIGURE for name in _MEASURED},
        "order?": (dict, NONE),
        "gold?": {"tune?": _GOLD, "report": _GOLD | {"decided": FIGURE}},
        "counterfactuals?": Each(FIGURE),
    }
)
CURATE = {
    "again": (str, NONE),
    "skills": Each(
        {
            "labelled": int,
            "fates": Each(int),
            **dict.fromkeys(("kept", "checked", "reproduced", "labelled_oracle", "kept_oracle"), FIGURE),
            "curve": [{"kept": NUMBER, "reproduced": FIGURE, "oracle": FIGURE}],
            "by_kind": Each(dict.fromkeys(("kept", "labelled_oracle", "kept_oracle"), FIGURE)),
        }
    ),
}

_CAPTIONS = [{"caption": str, "reward": NUMBER}]
REWARD = {
    "description": str,
    "accuracy_held_out": {"accuracy": MAYBE, "low": MAYBE, "high": MAYBE, "pairs": int},
    "accuracy_train": {"accuracy?": MAYBE},
    "mean": NUMBER,
    "std": NUMBER,
    "quantiles": Each(NUMBER),
    "top": _CAPTIONS,
    "bottom": _CAPTIONS,
    "accuracy_note?": str,
}
SOUP = {
    "skills": Each(
        {
            "methods": Each({"accuracy": MAYBE, "low": MAYBE, "high": MAYBE, "pairs": int}),
            "by_kind": Each(Each(MAYBE)),
            "recipe": Each(NUMBER),
        }
    )
}
GATE = {
    "rows": [
        {
            "skill": str,
            "event": str,
            "side": str,
            "judged": bool,
            "steps": int,
            "distinct": int,
            **dict.fromkeys(("auc", "low", "high", "paid", "mean_z"), MAYBE),
        }
    ],
    "problems": [str],
    "not_gated": [str],
}

_SUM = {"steps": int, "gained": NUMBER, "lost": NUMBER, "share": MAYBE, "mean": NUMBER}
PAID = {
    "skills": Each(
        {
            "steps": int,
            "gained": NUMBER,
            "lost": NUMBER,
            "unwanted_share": MAYBE,
            "events": [{"event": str, "side": str} | _SUM],
            "captions": [{"caption": str} | _SUM],
            "other_captions": {"captions": int} | _SUM,
            "actions": [{"action": str, "share": MAYBE}],
        }
    ),
    "episodes": {
        "episodes": int,
        "death_share": MAYBE,
        "median_steps": MAYBE,
        "causes": [{"cause": str, "count": int}],
    },
    "warnings": [{"text": str}],
}
_ENTRY = {"provenance?": dict, "behaviour?": {"states?": int, "calls?": Each(int)}}
PROGRAMS = {"programs?": Each(_ENTRY), "skills?": Each(_ENTRY)}

RESULTS = {
    "rows": [
        {
            "task": str,
            "agent": str,
            "max_steps": int,
            "levels?": (int, NONE),
            "episodes": int,
            # null: the task has no end, no published test, or measures nothing
            **{
                f"{name}{bound}": MAYBE
                for name in ("success", "published", "measured", "published_measured")
                for bound in ("", "_low", "_high")
            },
            **dict.fromkeys(("deepest_mean", "deepest_low", "deepest_high"), NUMBER),
            "steps_median": MAYBE,
            "prayers_per_1000": MAYBE,
            "deaths": int,
            "causes": Each(int),
        }
    ]
}
EPISODE = {"task": str, "agent": str, "deepest": int, "steps": int, "seeds": [int]}
