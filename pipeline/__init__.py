"""The pure core: from unified profiles to contact batches. No Prefect, no HTTP."""
