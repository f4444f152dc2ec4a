"""Dates as people write them into settings."""

from datetime import date


def is_date(text: str) -> bool:
    """Say whether a text is a day of the calendar, written YYYY-MM-DD."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
