"""The paper's experiments and its open questions, each a file that measures and writes a table."""
