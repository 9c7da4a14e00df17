"""The names that other projects may import. A change here is a change for them: tell it in CHANGELOG.md."""

import importlib
from importlib.resources import files

import pytest

PUBLIC = {
    "maestromotif": ["__version__"],
    "maestromotif.errors": ["Finding", "UserError", "did_you_mean"],
    "maestromotif.evaluate.skill_env": ["SkillEnv"],
    "maestromotif.nethack.pool": ["GamePool", "open_pool"],
    "maestromotif.programs.sandbox": [
        "CallEnd",
        "Host",
        "ProgramHost",
        "TypeCheckError",
        "UNSUPPORTED",
        "type_check",
    ],
}


@pytest.mark.parametrize(("module", "names"), PUBLIC.items())
def test_public_modules_export_these_names(module: str, names: list[str]) -> None:
    loaded = importlib.import_module(module)
    assert sorted(loaded.__all__) == names
    assert not [name for name in names if not hasattr(loaded, name)]


def test_type_checkers_of_other_projects_see_the_types() -> None:
    assert files("maestromotif").joinpath("py.typed").is_file()
