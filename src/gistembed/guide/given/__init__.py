"""Vectors that are there already, in files or columns, joined to the texts that they are of."""
