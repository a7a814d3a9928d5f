// Sources that are at hand.
