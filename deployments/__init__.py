"""What it takes to run exports for real: saved exports, work pool, automations."""
