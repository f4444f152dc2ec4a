"""The commands as Typer sees them: options and help. Heavy imports happen inside them."""
