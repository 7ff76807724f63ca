"""What holds rows: files of every kind, folders and data sets, opened as tables of cells."""
