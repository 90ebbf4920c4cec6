"""Measurements: this server alone, beside others, against the floor, and where its time goes."""
