"""Smaller batches cut out of one that was refused, down to the contacts at fault."""

import csv
import io
from collections.abc import Collection
from dataclasses import dataclass

from pipeline.batches import LINE_END, ContactBatch, digest_of


def halve(batch: ContactBatch) -> tuple[ContactBatch, ContactBatch]:
    """Cut a batch of two contacts or more in the middle; the order stays.

    The same batch always gives the same halves, byte for byte, so that a later run finds them
    again. A column that holds no value in a half is left out of it, as it would blank nothing.
    """
    sheet = _Sheet.of(batch)
    middle = batch.rows // 2
    return sheet.cut(0, middle), sheet.cut(middle, batch.rows)


def cut_around(batch: ContactBatch, accepted: Collection[str]) -> list[ContactBatch]:
    """Cut a batch into the halves of halves that an earlier run got accepted, and what is between.

    Args:
        batch: as it was before it was halved.
        accepted: digests of accepted parts of it.

    Returns:
        Parts that together are the batch, in order; those not accepted as large as halving
        leaves them. The batch itself where none of its parts is found.
    """
    missing = set(accepted)
    return _cut_around(batch, missing)


def _cut_around(batch: ContactBatch, missing: set[str]) -> list[ContactBatch]:
    if batch.digest in missing:
        missing.discard(batch.digest)
        return [batch]
    if not missing or batch.rows < 2:  # noqa: PLR2004 -- one contact has no halves
        return [batch]
    before = len(missing)
    parts = [part for half in halve(batch) for part in _cut_around(half, missing)]
    return parts if len(missing) < before else [batch]


@dataclass(frozen=True, slots=True)
class _Sheet:
    """The contacts of a batch as rows of text."""

    batch: ContactBatch
    header: list[str]
    rows: list[list[str]]

    @classmethod
    def of(cls, batch: ContactBatch) -> "_Sheet":
        header, *rows = csv.reader(io.StringIO(batch.body.decode(), newline=""))
        return cls(batch, header, rows)

    def cut(self, start: int, stop: int) -> ContactBatch:
        rows = self.rows[start:stop]
        kept = [at for at in range(len(self.header)) if any(row[at] for row in rows)]
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator=LINE_END)
        writer.writerow([self.header[at] for at in kept])
        writer.writerows([[row[at] for at in kept] for row in rows])
        body = text.getvalue().encode()
        return ContactBatch(
            number=self.batch.number,
            first=self.batch.first + start,
            rows=len(rows),
            body=body,
            digest=digest_of(body),
        )
