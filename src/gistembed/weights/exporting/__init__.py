"""A finished model for other programs to run: written, read back, and compared with what it was made from."""
