"""One file per outside system; the file's name is the source's name."""
