"""Proof that nothing is lost and nothing goes twice: exports in real processes, and trouble."""
