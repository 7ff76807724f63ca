"""From cells to rows: which column plays which role, and what a cell may hold."""
