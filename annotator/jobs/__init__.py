"""One file a job: each joins the store with pure computation."""
