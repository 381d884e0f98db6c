"""Plain data that the packages pass to one another.

Nothing here depends on a database, a file format or a model. Only modules that hold arrays
import NumPy or SciPy, so that commands without arrays start quickly.
"""
