"""The shapes that cross a boundary: a contact's rules, an export as asked for, its outcome."""
