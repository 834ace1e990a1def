"""The scenes, one module each; each has one coroutine that plays it."""
