"""Folders of queries, documents and judgements, as tables of rows."""
