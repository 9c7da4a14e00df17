"""Programs over skills, with where they came from."""

import io
import keyword
import tokenize
from typing import Any

from markupsafe import Markup, escape

from maestromotif.report import evidence
from maestromotif.report.evidence import Evidence


def values(found: Evidence) -> dict[str, Any]:
    return {
        "programs": {role: _program(one) for role, one in found.programs.items()},
        "skill_programs": [_program(one) for one in found.skill_programs],
    }


def highlight(source: str) -> Markup:
    """Python source with keywords, strings, comments and numbers in spans, if it can be tokenised."""
    kinds = {tokenize.STRING: "string", tokenize.COMMENT: "comment", tokenize.NUMBER: "number"}
    lines = source.split("\n")  # as `io.StringIO` below does; splitlines() knows more line breaks
    lines = [*(f"{line}\n" for line in lines[:-1]), *filter(None, lines[-1:])]
    out: list[Markup | str] = []
    row, column = 1, 0

    def copy_to(line: int, end: int) -> None:
        nonlocal row, column
        while row < line:
            out.append(escape(lines[row - 1][column:]))
            row, column = row + 1, 0
        if row <= len(lines):
            out.append(escape(lines[row - 1][column:end]))
        column = end

    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            css = kinds.get(token.type)
            if token.type == tokenize.NAME and keyword.iskeyword(token.string):
                css = "keyword"
            if css:
                copy_to(*token.start)
                out.append(Markup('<span class="{}">').format(css))
                copy_to(*token.end)
                out.append(Markup("</span>"))
    except (tokenize.TokenError, SyntaxError):
        return escape(source)
    copy_to(len(lines) + 1, 0)
    return Markup("").join(out)


def _program(one: evidence.Program) -> dict[str, Any]:
    return {"role": one.role, "source": highlight(one.source), "origin": one.origin}
