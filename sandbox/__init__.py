"""A strict stand-in for Constant Contact over real HTTP, built from its published contract."""
