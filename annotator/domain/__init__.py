"""Plain data that the packages pass to one another.

Nothing here depends on a database, a file format or a model. The arrays are NumPy and SciPy
objects, but neither is imported when these modules are, so that commands without arrays
start quickly.
"""
