"""The parts of ``benchmarks/optimizers.py``.

``tools`` names the optimizers and ``peers`` runs one of them, in a process that ``process``
measures; ``inspect_result`` and ``latency`` look at what it wrote, in processes of their own, so
that the measuring process stays small; ``scale`` and ``big`` generate graphs of many nodes and of
many bytes; ``tables`` writes the figures down.
"""
