"""The back-end: connections, rings, the disk behind them, and the process."""
