"""Timings that anyone can repeat; each script says what it covers."""
