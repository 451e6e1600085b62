"""`secousti bench`: milliseconds a step and real-time factor of every streaming stage, on this machine."""
