"""`python -m maestromotif`."""

from maestromotif.cli.main import main

main()
