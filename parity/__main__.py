"""`python -m parity ARGS` is the command `parity ARGS`."""

from parity.cli import main

if __name__ == "__main__":
    main()
