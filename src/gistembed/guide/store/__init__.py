"""The store of vectors: each text encoded once, sealed block by block, safe from crashes and many writers."""
