"""Text files of any encoding and dialect: blocks of lines, their head, tables of cells."""
