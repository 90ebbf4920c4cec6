"""What everything else is built on: pure, without reactor and without I/O."""
