"""A simulated atlas, and the names of real small RNAs that it uses."""
