"""Ways that data get into a mirror: readers of files, and a simulated atlas."""
