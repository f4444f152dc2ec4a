"""What an export costs, measured beside its floors. `python -m benchmarks --help`; never in CI.

Seconds mean little on a machine that others use too, so everything is given as a ratio to a floor
that was measured in the same rounds: a bare Polars scan, or the pace of four requests a second.
"""
