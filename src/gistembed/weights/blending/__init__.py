"""Two models of one architecture, blended."""
