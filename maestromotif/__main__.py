"""`python -m maestromotif`."""

from maestromotif.cli import main

main()
