"""An options file cannot change keys, questions or the mode of play; everything else is left to NetHack."""

from pathlib import Path

import pytest

from maestromotif.errors import UserError
from maestromotif.nethack import fixed_options
from maestromotif.nethack.rcfile import write_options

PACKAGE = Path(fixed_options.__file__).with_name("nethackrc").read_text().split("\n")
KEYS, ASKS, MODE = "gives keys another meaning", "changes the questions", "changes the mode of play"


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("OPTIONS=number_pad:1", 1, KEYS),
        ("# mine\n\nOPTIONS = color, Number_Pad", 3, KEYS),
        ("OPTI=time,num=2", 1, KEYS),  # as NetHack lets words be cut
        ("OPTIONS=color,\\\n  number_pad:2", 1, KEYS),
        ("BIND=s:pray", 1, KEYS),
        ("bindings=s:pray,d:kick", 1, KEYS),
        ("AUTOCOMPLETE=pray", 1, KEYS),
        ("OPTIONS=altmeta", 1, KEYS),
        ("OPTIONS=rest_on_space", 1, KEYS),
        ("OPTIONS=!travel", 1, KEYS),
        ("OPTIONS=nofixinv", 1, KEYS),
        ("OPTIONS=menu_next_page:s", 1, KEYS),
        ("OPTIONS=!confirm", 1, ASKS),
        ("OPTIONS=paranoid_confirmation:pray", 1, ASKS),
        ("OPTIONS=cmdassist", 1, ASKS),
        ("OPTIONS=!!cmdassist", 1, ASKS),
        ("OPTIONS=menustyle:traditional", 1, ASKS),
        ("OPTIONS=disclose:yi", 1, ASKS),
        ('MSGTYPE=stop "You hit .*"', 1, ASKS),
        ("OPTIONS=playmode:explore", 1, MODE),
        ("WIZKIT=kit.txt", 1, MODE),
        ("OPTIONS=role:Wizard", 1, "nethack.character chooses the hero"),
        ("CHOOSE=a,b\n[a]\nOPTIONS=color", 1, "chooses a section at random"),
        ("HACKDIR=/tmp", 1, "folders of their own"),
    ],
)
def test_what_is_fixed_cannot_be_set(text: str, line: int, why: str) -> None:
    with pytest.raises(UserError) as caught:
        fixed_options.check(text.split("\n"), "my.rc")
    assert str(caught.value).startswith(f"my.rc:{line}: ")
    assert why in str(caught.value).split("\n")[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# number_pad:1\n#BIND=s:pray",
        "OPTIONS=color,showexp,time,!legacy,pettype:none,fruit:mango,!autopickup,runmode:teleport",
        "OPTIONS=!number_pad,number_pad:0,confirm,!cmdassist,menustyle:full,travel,noaltmeta",
        "OPTIONS=menucolors,msg_window:full,boulder:0,notombstone,null",
        'MSGTYPE=hide "You stop .*"\nMSGTYPE=norep "stop"\nMENUCOLOR="blessed"=green',
        *PACKAGE,
    ],
)
def test_what_changes_no_key_may_be_set(text: str) -> None:
    fixed_options.check(text.split("\n"), "my.rc")


def test_what_a_file_leaves_out_is_as_in_every_game(tmp_path: Path) -> None:
    assert fixed_options.needed(PACKAGE) == []
    file = tmp_path / "my.rc"
    file.write_bytes(b"\xef\xbb\xbfOPTIONS=!cmdassist,fruit:mango\r\n")
    written = Path(write_options(tmp_path, file=file).removeprefix("@")).read_text().split("\n")
    assert written[1] == "OPTIONS=!cmdassist,fruit:mango"
    assert written[0].endswith(f"paranoid_confirmation:none,{fixed_options.DISCLOSE}")
    assert "cmdassist" not in written[0]
