"""The whole path with a sixth skill, which is nothing but a text file and a word in the config."""

import html
import json
import shutil
import subprocess
import sys
from pathlib import Path

import tiny

COLLECTOR = """\
---
name: collector
starts: at any time
ends: when the agent has left the level, or after 60 game turns
max_turns: 60
---
The agent should collect gold. More gold pieces in the purse achieve the goal. Leaving the level does not.
"""


def test_a_sixth_skill_as_a_text_file_goes_through_the_whole_path(tmp_path: Path) -> None:
    skills = tmp_path / "skills"
    shutil.copytree(tiny.ROOT / "skills", skills)
    (skills / "collector.md").write_text(COLLECTOR)
    config = tiny.write_config(
        tmp_path, "discoverer, descender, ascender, collector", skills, tasks="down, down_and_back"
    )
    output = tiny.run("run", config)
    run = tmp_path / "runs" / "tiny"
    said, path = output.strip().splitlines()[-2:]
    assert path.endswith("report/report.html")
    assert said.startswith("In new dungeons the trained agent succeeds in ")

    judged = json.loads((run / "annotate" / "collector" / "quality.json").read_text())
    assert judged["questions"] == 12
    card = json.loads((run / "distil" / "collector" / "card.json").read_text())
    assert "collect gold" in card["description"]
    curve = [json.loads(line) for line in (run / "train" / "curve.jsonl").read_text().splitlines()]
    assert max(row["skill/collector/time_share"] for row in curve) > 0
    assert curve[-1]["env_step"] == 6144
    results = json.loads((run / "evaluate" / "results.json").read_text())
    agents = ["trained", "cloned", "untrained", "random", "wandering", "explorer"]
    rows = [(row["task"], row["agent"]) for row in results["rows"]]
    assert rows == [(task, agent) for task in ("down", "down_and_back") for agent in agents]
    assert all(row["episodes"] == 16 for row in results["rows"])
    # Every episode, and a sample of those of the training, can be seen again.
    episodes = tiny.run("replay", config).strip().splitlines()
    assert sum(line.split()[0].isdigit() for line in episodes) == 16
    of_second = ("--task", "down_and_back", "--episode", "3")
    shown = {
        "down": ("--episode", "3"),
        "down_and_back": of_second,
        "training": ("--training", "--episode", "0"),
    }
    for task, options in shown.items():
        page, cast = tiny.run("replay", config, *options).strip().splitlines()[-2:]
        name = f"{task}-trained-{options[-1]}"
        assert page.endswith(f"/runs/tiny/replays/{name}.html")
        assert "This is not the game" not in Path(page).read_text()
        assert json.loads(Path(cast).read_text().splitlines()[0])["version"] == 2
    report = (run / "report" / "report.html").read_text()
    count = len(list((run / "evaluate" / "down" / "replays").glob("*.json")))
    assert 1 <= count == report.count('<section class="replay"')
    assert said in html.unescape(report)
    assert "collector" in report
    assert "collect gold" in report
    # Every stage says what it was made from.
    stages = ("collect", "annotate", "curate", "distil", "soup", "gate", "demonstrate", "clone", "train")
    for stage in (*stages, "compose", "evaluate", "report"):
        manifest = json.loads((run / stage / "manifest.json").read_text())
        assert manifest["outputs"]
        assert manifest["key"]
    licence = json.loads((run / "annotate" / "manifest.json").read_text())["facts"]
    assert "Apache-2.0" in json.dumps(licence)

    command = [sys.executable, "benchmarks/quickstart.py", str(run)]
    table = subprocess.run(command, cwd=tiny.ROOT, capture_output=True, text=True, check=True).stdout
    assert "| success, explorer |" in table
    assert "| collector: actions |" in table
    assert json.loads(table.splitlines()[-1]) == {"tiny": results["rows"][0]["success"]}
