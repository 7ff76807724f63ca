"""What turns texts into vectors: a model on this machine, compiled or not, or one behind an endpoint."""
