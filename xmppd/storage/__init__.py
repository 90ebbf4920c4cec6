"""Everything that is kept on disk: the only place with SQL."""
