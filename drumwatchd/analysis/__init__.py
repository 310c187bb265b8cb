"""What a sample is: decode, features, network, labels."""
