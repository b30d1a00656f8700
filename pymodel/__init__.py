"""What the trained network computes: quantisers, network, checkpoint, capture, tiles, reference."""
