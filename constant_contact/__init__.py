"""A client of the Constant Contact V3 API: requests, retries, rate, OAuth, activities."""
