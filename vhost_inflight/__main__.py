"""Run the command line as ``python -m vhost_inflight``."""

from vhost_inflight.cli import main

if __name__ == "__main__":
    main()
