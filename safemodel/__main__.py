"""`python -m safemodel`: the same as the command `safemodel`."""

from safemodel.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
