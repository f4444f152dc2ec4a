"""What a change of one export leaves as it was: comments above and beside each key, line ends."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.export_comments import without_own_comments
from deployments.export_editing import ExportFile, open_file, write_file
from deployments.export_entry import attach, clear_schedules, detach, set_active, set_schedule

ENTRYPOINT = "flows/export_segment.py:export_segment"

# A comment above and beside each key, at the end of each part, and between empty lines.
COMMENTED = """\
# top
name: ours # beside the name

# above definitions
definitions: # beside definitions
  # above pool
  pool: &pool # beside pool
    name: exports # beside the name of the pool
  days: &days
    - slug: daily # every day
      cron: "0 1 * * *" # at one

deployments: # beside deployments
  # above nightly
  - name: nightly # beside the name of nightly
    # above description
    description: >- # beside description
      Delivers # no comment
      every night.

    # above entrypoint
    entrypoint: flows/export_segment.py:export_segment   # beside entrypoint
    # above tags
    tags: [a,
      b] # beside tags
    # above limit
    concurrency_limit: # beside limit
      # above the limit of it
      limit: 1   # beside the limit of it
      # at the end of the limit
    # set apart

    # above schedules
    schedules: # beside schedules
      # above the first
      - slug: nightly # beside slug
        # above cron
        cron: "0 2 * * *"     # beside cron
        # above zone
        timezone: UTC # beside zone
        # at the end of the first
      # above the second
      - slug: noon # beside the second
        cron: '0 12 * * *' # beside cron of the second
        timezone: UTC # beside zone of the second
    # above triggers
    triggers: # beside triggers
      # above the trigger
      - type: event # beside type
        # above expect
        expect: [x] # beside expect
    # above parameters
    parameters: # beside parameters
      # above request
      request: # beside request
        # above connection
        connection: acme   # beside connection
        # above list
        list_id: '01' # beside list
        segments: [A] # beside segments
        # at the end of the request
    # above pool of nightly
    work_pool: *pool  # beside pool of nightly
    # at the end of nightly

  # between the two

  # above second
  - name: second # beside the name of second
    entrypoint: flows/export_segment.py:export_segment # beside entrypoint of second
    # above schedules of second
    schedules: *days # beside schedules of second
    # above triggers of second
    triggers: [{type: event, expect: [y]}]   # beside triggers of second
    # above parameters of second
    parameters: {request: {connection: acme, segments: [A]}} # beside parameters of second
    # above pool of second
    work_pool: *pool # beside pool of second

  # above third
  - name: third # beside the name of third
    entrypoint: flows/export_segment.py:export_segment # beside entrypoint of third
    # above parameters of third
    parameters: # beside parameters of third
      # above request of third
      request: &request # beside request of third
        # above connection of third
        connection: acme # beside connection of third
        # above list of third
        list_id: "1" # beside list of third
    # above pool of third
    work_pool: *pool # beside pool of third

  # above fourth
  - name: fourth # beside the name of fourth
    entrypoint: flows/export_segment.py:export_segment
    # above parameters of fourth
    parameters:
      # above request of fourth
      request: *request # beside request of fourth
    # above pool of fourth
    work_pool: *pool # beside pool of fourth
# the end
after: all # beside after
"""
NAMES = ("nightly", "second", "third", "fourth")
AT_FOUR = {"slug": "nightly", "cron": "0 4 * * *", "timezone": "Europe/London"}
OFTEN = {"slug": "noon", "interval": "PT6H", "timezone": "UTC"}
ANOTHER = {"slug": "third", "rrule": "FREQ=DAILY", "timezone": "UTC", "active": False}

CHANGES: dict[str, Callable[[Any], None]] = {
    "pause": lambda one: set_active(one, active=False),
    "resume": lambda one: set_active(one, active=True),
    "resume without a server": lambda one: set_active(one, active=True, is_known=False),
    "schedule": lambda one: set_schedule(one, AT_FOUR),
    "schedule of another kind": lambda one: set_schedule(one, OFTEN),
    "schedule beside others": lambda one: set_schedule(one, ANOTHER),
    "clear": clear_schedules,
    "detach": detach,
    "attach": lambda one: attach(one, "other"),
}
# What is said of a part goes with it.
GONE = {
    ("nightly", "clear"): {
        "above schedules", "beside schedules", "above the first", "beside slug", "above cron",
        "beside cron", "above zone", "beside zone", "at the end of the first", "above the second",
        "beside the second", "beside cron of the second", "beside zone of the second",
    },
    ("nightly", "schedule of another kind"): {"beside cron of the second"},
    ("second", "clear"): {"above schedules of second", "beside schedules of second"},
}  # fmt: skip


def comments(text: str) -> list[str]:
    return [line.partition("# ")[2] for line in text.splitlines() if "# " in line]


def entries(text: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in yaml.safe_load(text)["deployments"]}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", NAMES)
def test_change_keeps_every_comment_in_its_place(name: str, change: str) -> None:
    file = ExportFile(COMMENTED)
    file.change(name, ENTRYPOINT, CHANGES[change])
    gone = GONE.get((name, change), set())
    left = dict.fromkeys(comments(file.text))  # once each: what others refer to may stay beside it
    assert list(left) == [one for one in comments(COMMENTED) if one not in gone]
    before, after = entries(COMMENTED), entries(file.text)
    assert [one for one in before if before[one] != after[one]] in ([], [name])


@pytest.mark.parametrize("change", CHANGES)
def test_change_takes_away_no_line_but_those_that_say_something_else(change: str) -> None:
    file = ExportFile(COMMENTED)
    file.change("nightly", ENTRYPOINT, CHANGES[change])
    left = file.text.splitlines()
    changed = [line.strip() for line in COMMENTED.splitlines() if line not in left]
    allowed = {
        "schedule": {'cron: "0 2 * * *"     # beside cron', "timezone: UTC # beside zone"},
        "schedule of another kind": {"cron: '0 12 * * *' # beside cron of the second"},
        "detach": {"connection: acme   # beside connection"},
        "attach": {"connection: acme   # beside connection"},
    }
    if change != "clear":
        assert set(changed) == allowed.get(change, set())
    assert "      Delivers # no comment\n      every night.\n" in file.text


def test_changed_value_stands_before_the_comment_of_the_old_one() -> None:
    file = ExportFile(COMMENTED)
    file.change("nightly", ENTRYPOINT, CHANGES["schedule"])
    assert '        # above cron\n        cron: "0 4 * * *"     # beside cron\n' in file.text
    assert "        # above zone\n        timezone: Europe/London # beside zone\n" in file.text
    file.change("second", ENTRYPOINT, CHANGES["pause"])
    assert "    schedules: # beside schedules of second\n      - slug: daily\n" in file.text


def test_schedule_keeps_what_else_it_says() -> None:
    text = COMMENTED.replace("        # above zone\n", "        parameters: {a: 1}\n", 1)
    file = ExportFile(text)
    file.change("nightly", ENTRYPOINT, CHANGES["schedule"])
    assert entries(file.text)["nightly"]["schedules"][0] == {**AT_FOUR, "parameters": {"a": 1}}


@pytest.mark.parametrize("change", CHANGES)
def test_lists_that_are_indented_otherwise_stay_so(change: str) -> None:
    text = (
        "deployments:\n"
        "    # above\n"
        "    - name: nightly # beside\n"
        f"      entrypoint: {ENTRYPOINT}\n"
        "      schedules: # when\n"
        "      - slug: nightly # how\n"
        "        cron: 0 2 * * *\n"
        "        timezone: UTC\n"
        "      parameters:\n"
        "          request:\n"
        "              # whose\n"
        "              connection: acme # theirs\n"
    )
    file = ExportFile(text)
    file.change("nightly", ENTRYPOINT, CHANGES[change])
    assert comments(file.text) == [
        one for one in comments(text) if change != "clear" or one not in {"when", "how"}
    ]
    assert "              # whose\n              connection: " in file.text
    reference = ExportFile(yaml.safe_dump(yaml.safe_load(text), sort_keys=False))
    reference.change("nightly", ENTRYPOINT, CHANGES[change])
    assert entries(file.text) == entries(reference.text)


def test_removed_export_takes_the_comments_right_above_it_along() -> None:
    file = ExportFile(COMMENTED)
    file.remove("second", ENTRYPOINT)
    left = comments(file.text)
    assert "above second" not in left
    assert not [one for one in left if one.endswith("of second")]
    assert left == [one for one in comments(COMMENTED) if one in left]
    assert "# at the end of nightly\n\n  # between the two\n\n  # above third\n" in file.text
    file.remove("nightly", ENTRYPOINT)
    assert "# beside deployments\n\n  # between the two\n\n  # above third\n" in file.text
    assert "nightly" not in file.text


def test_file_keeps_the_ends_of_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "prefect.yaml"
    path.write_bytes(COMMENTED.replace("\n", "\r\n").encode())
    for change in (*CHANGES.values(), None):
        opened = open_file(path)
        plain = ExportFile(COMMENTED)
        for one in (opened, plain):
            if change is None:
                one.duplicate("nightly", ENTRYPOINT, "twin")
            else:
                one.change("nightly", ENTRYPOINT, change)
        assert opened.text == plain.text.replace("\n", "\r\n")
        assert opened.diff("x") == plain.diff("x")
        write_file(path, opened.text, before=opened.before)
        assert path.read_bytes() == opened.text.encode()
        path.write_bytes(opened.before.encode())


def test_line_keeps_its_end_where_others_end_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "prefect.yaml"
    path.write_bytes(COMMENTED.replace("\n", "\r\n").replace("# top\r\n", "# top\n").encode())
    opened = open_file(path)
    opened.change("nightly", ENTRYPOINT, CHANGES["pause"])
    write_file(path, opened.text, before=opened.before)
    written = path.read_bytes()
    assert written.startswith(b"# top\nname: ours # beside the name\r\n")
    assert b"        active: false\r\n" in written
    assert written.count(b"\n") == written.count(b"\r\n") + 1


def test_comment_at_the_end_of_one_part_is_not_the_next_one_s() -> None:
    asides = ["    # set apart\n", "\n", "      # at the end of the one before\n", "    # own\n"]
    assert without_own_comments(asides, 4) == asides[:3]
