"""Tests of xmppd; the folders mirror those of the package."""

from hypothesis import HealthCheck, settings

# A busy machine is no failure: no test depends on how long something takes.
settings.register_profile("xmppd", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("xmppd")
