"""The way out: placement that cannot lose or overwrite, and the manifests."""
