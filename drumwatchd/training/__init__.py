"""The companion: corpus, augmentation, networks, training, evaluation, export."""
