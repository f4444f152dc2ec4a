"""How often a run says that it is alive, and after what silence it is taken for dead.

The window follows from the frequency, so that the two cannot drift apart: a window shorter than
the heartbeats would mark healthy runs Crashed while they go on working.
"""

FREQUENCY_VARIABLE = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"

HEARTBEAT_S = 30  # the least that Prefect takes; its default is 180
# Four heartbeats in a row may get lost, as when the server restarts, before a run counts as dead.
HEARTBEAT_WINDOW_S = 5 * HEARTBEAT_S
LEAST_HEARTBEATS_IN_WINDOW = 3


def is_safe(frequency: object) -> bool:
    """Tell whether runs that beat every so many seconds are safe from the window."""
    try:
        seconds = int(str(frequency))
    except ValueError:
        return False
    return 0 < seconds * LEAST_HEARTBEATS_IN_WINDOW <= HEARTBEAT_WINDOW_S
