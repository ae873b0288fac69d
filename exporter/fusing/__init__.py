"""The parts of :mod:`exporter.fuse`: reading a model, matching its inputs, fitting them, and writing large files."""
