"""Looking into the files that PyTorch writes, with the standard library alone.

What the frontends of PyTorch's formats share: the structure of archives, the pickles in them,
and which kind of file something is. Nothing in a file is executed.
"""
