"""Two halves of one migration, recorded on its source and on its destination: matched, and joined to one record."""
