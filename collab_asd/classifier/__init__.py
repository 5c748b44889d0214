"""The ID classifier f_s: backbones, sampling of windows, training."""
