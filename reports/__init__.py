"""Records in, HTML out: run directories are read through parity's plain records, where torch need not be there."""
