"""What each controller does, tick by tick, written down as literally as its documentation says: the oracles of the replay."""
