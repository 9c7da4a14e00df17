"""Writes `paid.json`, the account of what training paid for, and logs its warnings."""

import logging
from collections.abc import Sequence

from flax import serialization

from maestromotif.config.schema import Config
from maestromotif.pipeline.store import Work
from maestromotif.skill import skills_of
from maestromotif.train.account import PAID, Reader, account
from maestromotif.train.curve import Curve
from maestromotif.train.distributed import gathered
from maestromotif.train.paid import Paid, together
from maestromotif.train.pay_warnings import warnings

log = logging.getLogger("maestromotif")


class Statement:
    """Of a run, in the folder of its stage. Each warning is logged when it first holds, and at the end."""

    def __init__(self, config: Config, process: int, work: Work) -> None:
        self._skills = skills_of(config)
        self._reader = Reader(config.annotate.changes, config.annotate.telling)
        self._process, self._work = process, work
        self._told: set[str] = set()

    def write(self, env_step: int, parts: Sequence[Paid], curve: Curve, *, last: bool) -> None:
        """Call it in all processes at the same update; process 0 writes.

        parts: of this process's environments; curve: with a row that ends at `env_step`; last: whether
        training is over.
        """
        own = serialization.msgpack_serialize(together(parts)._asdict())
        everywhere = [Paid(**serialization.msgpack_restore(one)) for one in gathered(own)]
        if self._process != 0:
            return
        paid = account(together(everywhere), curve.totals, env_step, self._skills, self._reader)
        found = warnings(paid, curve.rows, self._skills)
        self._work.write_json(PAID, paid | {"warnings": found})
        for one in found:
            if last or one["about"] not in self._told:
                log.warning("train: %s", one["text"])
            self._told.add(one["about"])
