"""The day's quota of requests: Constant Contact counts by UTC days."""

from datetime import UTC, datetime, time, timedelta

DAILY_REQUESTS = 10_000


def phrase_quota_return(now: datetime) -> str:
    """Say when the day's quota returns, such as `at 00:00 UTC, in 2 h 13 min`."""
    tomorrow = now.astimezone(UTC).date() + timedelta(days=1)
    remaining = datetime.combine(tomorrow, time(), UTC) - now
    minutes = -(-remaining // timedelta(minutes=1))  # rounded up: never too early
    hours, minutes = divmod(minutes, 60)
    return f"at 00:00 UTC, in {f'{hours} h ' if hours else ''}{minutes} min"
