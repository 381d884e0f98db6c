"""Sources of data for a mirror: readers of files, and a simulated atlas."""
