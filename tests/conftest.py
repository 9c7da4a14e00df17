"""Strictness for every test: one thread a library, no silent broadcasting, shapes and types checked.

The environment is set before JAX is imported, and child processes inherit it, those of `pytest -n`
before they import NumPy.
"""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from beartype import BeartypeConf
from beartype.claw import beartype_package
from jaxtyping import install_import_hook

# Tests run side by side (pytest -n), so no library may take all cores for itself.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ["JAX_PLATFORMS"] = os.environ.get("MAESTROMOTIF_TEST_PLATFORMS", "cpu")
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
# What one test has compiled the next need not compile again. Processes that run side by side do not share it:
# one would read files that another is still writing.
_compiled = f"maestromotif-tests-{os.getuid()}/compiled-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(tempfile.gettempdir(), _compiled))
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_ERROR_REPORTING"] = "false"

# The types of all arguments and results of the package are checked in every test. jaxtyping's check, which
# knows shapes and tracers, takes many times as long as beartype's own, so only modules that need it have it.
# Nor does beartype alone know names that are imported for the type checker only.
PACKAGE = Path(__file__).parents[1] / "maestromotif"
_needs = ("from jaxtyping import", "agent.arrays import Array", "if TYPE_CHECKING")
SHAPED = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if any(word in path.read_text() for word in _needs)
]
install_import_hook(SHAPED, "beartype.beartype")
beartype_package("maestromotif", conf=BeartypeConf(claw_is_pep526=False, violation_type=TypeError))

# A shell that starts the tests in the background lets them ignore Ctrl-C, or `nohup` the end of the terminal,
# and processes started by them too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes begins first, so that no process waits for it at the end."""
    items.sort(key=lambda item: item.path.name not in ("test_path.py", "test_resume.py"))


@pytest.fixture
def strict_dtypes() -> Iterator[None]:
    """No implicit dtype promotion: for tests of our own formulas.

    Not for every test, because optax 0.2.8 raises a float to an int32 power in its bias correction.
    """
    import jax

    with jax.numpy_dtype_promotion("strict"):
        yield
