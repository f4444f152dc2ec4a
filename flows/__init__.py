"""One file per deployable flow: the order of the steps, nothing else."""
