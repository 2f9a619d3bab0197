"""A brain in one file: exported and imported as rows, backed up and restored as it is; everything verified before anything is written."""
