"""The ID classifier: backbones, sampling of windows, training."""
