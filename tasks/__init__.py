"""One file per stage worth watching in the Prefect UI; thin: open, call, log, return."""
