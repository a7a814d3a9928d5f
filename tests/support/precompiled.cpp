// Holds nothing itself: the precompiled header of the tests needs a source to be built for.
