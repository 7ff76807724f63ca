"""All that a run needs before anything is written, read and checked."""
