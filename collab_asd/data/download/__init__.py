"""Published benchmarks, from their archive to a data folder: resumable, verified, safely unpacked."""
