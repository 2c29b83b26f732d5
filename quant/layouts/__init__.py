"""Where the nibbles of 4-bit codes lie in memory: each layout packs and unpacks [..., N, K] codes from 0 to 15."""
