"""The same work, written plainly: how public ports of this model family do it.

Images are decoded in every epoch, scikit-image converts their colours one by one,
the frozen networks are run at every step, all in float32 with channels first. Nothing
is made slow on purpose: it is what one writes first. All of it is our own code.
"""
