"""Running models and artifacts, here or in a worker process."""
