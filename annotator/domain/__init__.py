"""Plain data that the packages hand to one another.

Nothing here knows a database, a file format or a model. The arrays are NumPy and SciPy
objects, but neither is imported here, so that commands without arrays start quickly.
"""
