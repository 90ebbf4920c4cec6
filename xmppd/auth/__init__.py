"""Who is there: SASL mechanisms, passwords, channel bindings, the brake on guessing. No sockets, no SQL."""
