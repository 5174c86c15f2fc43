"""Supervision by frozen networks: one file per loss of Sec. IV, each a pure function of the image.

A step holds its frozen networks and returns the loss *with* its gradient in the image, so it can
be run eagerly or compiled whole. `guide` makes either one differentiable call.
"""
