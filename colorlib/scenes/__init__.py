"""Synthetic scenes with a known colour distribution, on every machine."""

from colorlib.scenes.rendering import (
    SCENES_VERSION,
    object_colours,
    object_mask,
    recolour_scene,
    render_scenes,
)

__all__ = [
    "SCENES_VERSION",
    "object_colours",
    "object_mask",
    "recolour_scene",
    "render_scenes",
]
