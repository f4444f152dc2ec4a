"""The `segment-export` command: the edge a person types at."""
