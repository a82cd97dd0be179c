"""Network architectures that are generated offline, from configurations and seeds.

Each file holds one family: functions decorated with
:func:`~architectures.registry.architecture` that return a network, sample inputs and the
dimensions that may vary.
"""
