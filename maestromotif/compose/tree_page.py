"""The tree of a search as a piece of HTML, or as a page that opens from disk and loads nothing."""

from collections.abc import Mapping

from markupsafe import Markup

from maestromotif.compose import told
from maestromotif.compose.tree import Node, Tree

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

# Inside a report the tree takes the report's colours; alone it uses the same ones, named here.
STYLE = Markup("""\
.search, .search-page {
  color-scheme: light dark;
  --s-page: var(--page, #f7f7f5); --s-panel: var(--panel, #ffffff); --s-ink: var(--ink, #1d2026);
  --s-muted: var(--muted, #5f6671); --s-line: var(--line, #dfe1e5); --s-soft: var(--soft, #eef0f2);
  --s-accent: var(--accent, #4a4ec9); --s-gain: var(--gain, #2b8a3e); --s-loss: var(--loss, #c2410c);
}
@media (prefers-color-scheme: dark) {
  .search, .search-page {
    --s-page: var(--page, #121418); --s-panel: var(--panel, #1a1d23); --s-ink: var(--ink, #e5e7eb);
    --s-muted: var(--muted, #a1a9b4); --s-line: var(--line, #323742); --s-soft: var(--soft, #23272f);
    --s-accent: var(--accent, #9a9df5); --s-gain: var(--gain, #69db7c); --s-loss: var(--loss, #ff922b);
  }
}
.search-page { margin: 0; background: var(--s-page); color: var(--s-ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
.search-page main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 40px; }
.search-page h1 { font-size: 24px; line-height: 1.3; margin: 0 0 12px; overflow-wrap: anywhere; }
.search-page h2 { font-size: 18px; margin: 28px 0 8px; } .search-page summary { cursor: pointer; }
.search-page pre { margin: 0; padding: 10px 12px; overflow: auto; border-radius: 8px; background: var(--s-soft); white-space: pre-wrap; overflow-wrap: anywhere; font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.search, .search * { box-sizing: border-box; }
.search { color: var(--s-ink); overflow-wrap: anywhere; }
.search .summary { color: var(--s-muted); margin: 0 0 14px; }
.search ul { list-style: none; margin: 0; padding: 0; }
.search ul ul { margin-left: 11px; padding-left: 14px; border-left: 1px solid var(--s-line); }
.search ul ul:has(> li:only-child) { margin-left: 0; padding-left: 0; border-left: 0; }
.search summary { display: flex; flex-wrap: wrap; gap: 2px 10px; align-items: center; padding: 4px 8px; border-radius: 6px; cursor: pointer; }
.search summary:hover { background: var(--s-soft); }
.search summary:focus-visible { outline: 2px solid var(--s-accent); }
.search summary b { min-width: 1.6em; text-align: right; font-variant-numeric: tabular-nums; }
.search .operator { min-width: 8.5em; } .search .score { color: var(--s-muted); font-size: 13.5px; font-variant-numeric: tabular-nums; }
.search .problem { color: var(--s-loss); font-size: 13.5px; }
.search .best > details > summary { background: color-mix(in srgb, var(--s-gain) 14%, transparent); }
.search .mark { color: var(--s-gain); font-weight: 650; font-size: 13.5px; }
.search .bar { position: relative; width: 110px; height: 10px; border-radius: 5px; background: var(--s-soft); border: 1px solid var(--s-line); flex: none; }
.search .bar i { position: absolute; top: 0; bottom: 0; border-radius: 4px; background: color-mix(in srgb, var(--s-accent) 35%, transparent); }
.search .bar u { position: absolute; top: -2px; bottom: -2px; width: 2px; margin-left: -1px; background: var(--s-accent); }
.search .body { margin: 4px 8px 14px 30px; padding: 12px 14px; border: 1px solid var(--s-line); border-radius: 10px; background: var(--s-panel); }
.search h4 { margin: 12px 0 4px; font-size: 13.5px; } .search h4:first-child { margin-top: 0; }
.search pre { margin: 0; padding: 10px 12px; overflow: auto; max-height: 420px; border-radius: 8px; background: var(--s-soft); font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; tab-size: 4; }
.search .scroll { overflow: auto; max-height: 300px; }
.search table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
.search th { text-align: left; font-weight: 600; color: var(--s-muted); } .search th, .search td { padding: 3px 12px 3px 0; border-bottom: 1px solid var(--s-soft); vertical-align: top; }
.search td.story { white-space: pre-line; }
.search .empty { color: var(--s-muted); font-style: italic; }
""")  # noqa: E501


def page(tree: Tree, title: str, result: str = "", texts: Mapping[str, str] | None = None) -> str:
    """The tree as a whole HTML page.

    result: Markdown above the tree; texts: heading -> Markdown below it, closed at first. Markdown is shown
    as it was written.
    """
    return Markup(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<link rel="icon" href="data:,"><title>{title}</title><style>{style}</style></head>\n'
        '<body class="search-page"><main><h1>{title}</h1>{result}\n{fragment}\n{texts}</main></body></html>\n'
    ).format(
        policy=_POLICY,
        title=title,
        style=STYLE,
        result=Markup("<pre>{}</pre>\n<h2>Search</h2>").format(result) if result else "",
        fragment=fragment(tree),
        texts=Markup("\n").join(
            Markup("<h2>{}</h2><details><summary>show</summary><pre>{}</pre></details>").format(heading, text)
            for heading, text in (texts or {}).items()
        ),
    )


def fragment(tree: Tree) -> Markup:
    """HTML of the tree; `STYLE` is its CSS. It needs no script: candidates open and close by themselves."""
    return Markup('<div class="search"><p class="summary">{}.</p>\n{}</div>').format(
        told.summary(tree), _branches(tree) or Markup('<p class="empty">No candidate yet.</p>')
    )


def _branches(tree: Tree) -> Markup:
    """The candidates as nested lists; empty without any.

    Built from the last candidate to the first, so that a long chain needs no recursion.
    """
    best, children = tree.best, tree.children()
    below: dict[int, Markup] = {}  # the list below each candidate
    for parent in [*reversed(tree.nodes), None]:
        number = parent.number if parent else 0
        items = Markup("\n").join(
            Markup("<li{}>{}{}</li>").format(
                Markup(' class="best"') if child is best else "",
                _node(child, child is best),
                below.pop(child.number),
            )
            for child in children[number]
        )
        below[number] = Markup("<ul>\n{}</ul>").format(items) if items else Markup("")
    return below[0]


def _node(node: Node, best: bool) -> Markup:
    if node.refused:
        result = Markup('<span class="problem">refused: {}</span>').format(told.problem(node))
    else:
        result = Markup('{}<span class="score">{}</span>').format(_bar(node), told.score(node))
    return Markup(
        '<details><summary><b>{}</b><span class="operator">{}</span>{}{}</summary>'
        '<div class="body">{}{}{}</div></details>'
    ).format(
        node.number,
        told.made(node),
        result,
        Markup('<span class="mark">best</span>') if best else "",
        _text("Problems", "\n".join(node.problems)),
        _text("Rules", node.candidate.table)
        if node.candidate.table
        else _text("Program", node.candidate.source),
        _games(node),
    )


def _bar(node: Node) -> Markup:
    """The success rate and its interval on a line from 0 to 1."""
    if not node.games:
        return Markup("")
    low, high = (f"{bound:.1%}" for bound in node.interval)
    width = f"{node.interval.high - node.interval.low:.1%}"
    return Markup(
        '<span class="bar" aria-hidden="true" title="{} to {}"><i style="left:{};width:{}"></i>'
        '<u style="left:{}"></u></span>'
    ).format(low, high, low, width, f"{node.successes / len(node.games):.1%}")


def _text(title: str, text: str) -> Markup:
    return Markup("<h4>{}</h4><pre>{}</pre>").format(title, text.strip("\n")) if text.strip() else Markup("")


def _games(node: Node) -> Markup:
    if not node.games:
        return Markup("")
    rows = Markup("\n").join(
        Markup('<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class="story">{}</td></tr>').format(
            number, "yes" if game.success else "no", f"{game.progress:.2f}", f"{game.steps:,}", game.story
        )
        for number, game in enumerate(node.games)
    )
    heads = Markup("").join(
        Markup("<th>{}</th>").format(head)
        for head in ("episode", "success", "progress", "steps", "what happened")
    )
    return Markup(
        '<h4>Games</h4><div class="scroll"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>'
    ).format(heads, rows)
