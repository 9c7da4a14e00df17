"""A trained policy that a run uses in place of training: the setting `train.policy`.

A policy's file holds parameters and no names. Its config, in its folder or a folder above, says which skills
and which network they are of; a run that uses the policy must have the same.
"""

from pathlib import Path

from maestromotif.agent.policy import POLICY
from maestromotif.config.load import CONFIG
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.pipeline.runner import config_of
from maestromotif.pipeline.store import file_contents

# Settings of the network that do not change what trained parameters do, but for rounding.
_FREE = ("prior", "precision")


def policy_file(given: str) -> Path:
    """The file of a policy. given: it, its folder, or a run's folder. Raises UserError if there is none."""
    places = [Path(given), Path(given) / POLICY, Path(given) / "train" / POLICY]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise UserError(
            f"train.policy: {given}: holds no {POLICY}; name the folder of a policy, such as "
            "policies/trained/five_skills, or of a run that is trained"
        )
    return found


def policy_files(config: Config) -> dict[str, str]:
    """Path -> SHA-256 of the file that `train.policy` names; empty without one.

    Raises UserError if it cannot be read, or has other skills or another network than the config.
    """
    if config.train.policy is None:
        return {}
    file = policy_file(config.train.policy)
    of = trained_with(file)
    if of.skills != config.skills:
        raise UserError(
            f"train.policy: {file}: was trained with the skills {', '.join(of.skills)}, in this order, but "
            f"the config has {', '.join(config.skills)}; set `skills` to those of the policy"
        )
    theirs, ours = (one.train.network.model_dump() for one in (of, config))
    differ = [name for name in ours if theirs[name] != ours[name] and name not in _FREE]
    if differ:
        told = "; ".join(f"{name} is {ours[name]!r} and was {theirs[name]!r}" for name in differ)
        raise UserError(
            f"train.policy: {file}: was trained with another train.network: {told}; set it to that of the "
            "policy"
        )
    return file_contents("train.policy", str(file))


def trained_with(file: Path) -> Config:
    """The config with which a policy was trained. Raises UserError if there is none."""
    found = next((place for place in file.absolute().parents if (place / CONFIG).is_file()), None)
    if found is None:
        raise UserError(
            f"train.policy: {file}: neither its folder nor one above has a {CONFIG}, which says which skills "
            "and which network it is of; put the config of its training there"
        )
    return config_of(found)
