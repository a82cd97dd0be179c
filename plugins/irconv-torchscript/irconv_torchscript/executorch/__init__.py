"""The target ``executorch``: programs for ExecuTorch, from the module that TorchScript takes."""
