"""History in files: records of the log as lines, and the files that hold them."""
