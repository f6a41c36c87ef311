"""How far the views are, which projectors write them, and waiting until they have a record."""
