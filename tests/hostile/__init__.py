"""An attacker for any XMPP server: cases by class, raw bytes in, expected condition out."""
