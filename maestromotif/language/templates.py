"""Renders a chat as one text, in the format of each model family.

The engines render with the template that comes with the model. This module follows the published
descriptions of the formats, so that the intended text is in one place and can be compared with the template
in a model file (tests/language/test_templates.py does).

If a chat ends with an assistant's message, the text ends there too and the model continues it. End such a
message with a word or a punctuation mark, not with white space: Llama's templates strip it, and tokens begin
with a space.
"""

from collections.abc import Sequence

from maestromotif.language.model import Message
from maestromotif.language.presets import Family

# The templates of Llama 3.1 and 3.3 begin every chat like this; the date is their default. Some templates of
# Llama 3.2 and 4 use today's date if none is given, so the prompts would change every day.
LLAMA_DATE = "26 Jul 2024"
LLAMA3_PREAMBLE = f"Cutting Knowledge Date: December 2023\nToday Date: {LLAMA_DATE}\n\n"

# Template arguments that the engines pass on: the date, and no thinking before the answer, because we read
# the first token. Templates ignore arguments that they do not use.
ARGUMENTS = {"date_string": LLAMA_DATE, "enable_thinking": False}


def render(family: Family, chat: Sequence[Message], system: str | None = None) -> str:
    """The text that the model continues, with its special tokens written out.

    `system` is the template's default system message, used if the chat has none (`Preset.system`).
    """
    messages = list(chat)
    said = messages.pop(0)["content"] if messages and messages[0]["role"] == "system" else system
    match family:
        case "chatml":
            begin, head, end = "", "<|im_start|>{}\n", "<|im_end|>\n"
            turns = [(message["role"], message["content"]) for message in messages]
        case "llama3":
            begin, head, end = "<|begin_of_text|>", "<|start_header_id|>{}<|end_header_id|>\n\n", "<|eot_id|>"
            said = LLAMA3_PREAMBLE + (said or "").strip()
            turns = [(message["role"], message["content"].strip()) for message in messages]
        case "llama4":
            begin, head, end = "<|begin_of_text|>", "<|header_start|>{}<|header_end|>\n\n", "<|eot|>"
            said = said.strip() if said is not None else None
            turns = [(message["role"], message["content"]) for message in messages]
    if said is not None:
        turns.insert(0, ("system", said))
    if not turns or turns[-1][0] != "assistant":
        turns.append(("assistant", ""))
    text = end.join(head.format(role) + content for role, content in turns)
    return begin + text
