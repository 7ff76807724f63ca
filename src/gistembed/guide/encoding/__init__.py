"""From texts to vectors in the store: what is missing is planned, encoded by one process or many, found."""
