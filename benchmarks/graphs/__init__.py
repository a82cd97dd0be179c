"""Graphs for measuring optimizers, as exporters write them: generated offline from seeds.

``catalog`` names them, ``generate`` writes them; every other module holds one origin. The
transformers and convolutional networks have their published sizes (text and image transformers
that would pass 450 MB have fewer layers), so that memory and time relate to the model as they do
in practice.
"""
