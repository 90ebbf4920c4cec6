"""The real server under load for long, killed, restarted and watched; the short forms are tests."""
