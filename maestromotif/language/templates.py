"""What a language model is shown: a chat as one text, by the format of each family of models.

The engines render with the template that comes with the model; what is here is written from the published
descriptions of the formats, so that what is meant stands in one place and can be compared with what a model
file carries (tests/language/test_templates.py does).

A chat that ends with an assistant's message is left open there, for the model to go on. End such a message
with a word or a mark, not with white space: Llama's templates cut it off, and tokens begin with a space.
"""

from collections.abc import Sequence

from maestromotif.language.model import Message
from maestromotif.language.presets import Family

# The templates of Llama 3.1 and 3.3 begin every chat so. The date is the one that they fall back on. Some of
# Llama 3.2's and 4's take today's where they are not told it, and questions would be others every day.
LLAMA_DATE = "26 Jul 2024"
LLAMA3_PREAMBLE = f"Cutting Knowledge Date: December 2023\nToday Date: {LLAMA_DATE}\n\n"

# What templates may ask for beside the messages, for the engines to hand on: the date, and whether the model
# thinks before it answers, where we read its first word. Templates that know neither ignore both.
ARGUMENTS = {"date_string": LLAMA_DATE, "enable_thinking": False}


def render(family: Family, chat: Sequence[Message], system: str | None = None) -> str:
    """The text from which the model goes on, with its special tokens written out.

    `system` is what the model's template says where the chat has no system message (`Preset.system`).
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
