"""What to do where a work pool carries out nothing."""

from cli.naming import command_path
from deployments.work_pool import POOL, PoolStanding


def advise(standing: PoolStanding) -> str:
    """Say in one line why nothing begins and what to do; nothing where all is well."""
    pool = standing.pool
    if standing.is_paused:
        named = "" if pool == POOL else f" --pool {pool}"
        resume = f"`{command_path('segment-export')} drain{named} --resume`"
        return f"The work pool {pool} is paused: no run begins. {resume} lets them begin again."
    if not standing.has_worker:
        start = f"`{command_path('prefect')} worker start --pool {pool}`"
        return f"No worker is alive on the work pool {pool}: what is due waits for {start}."
    return ""
