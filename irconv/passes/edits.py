"""What the edits of one run of a pass take; a run that changes nothing does not pay for it."""

from __future__ import annotations

from functools import cached_property

import onnx_ir as ir

from irconv.graph.edit import Editor
from irconv.graph.names import NameAllocator

__all__ = ["Edits"]


class Edits:
    """The editor and the fresh names of one run, made when they are first asked for.

    Args:
        model: The model that the run may edit.
    """

    def __init__(self, model: ir.Model) -> None:
        self._model = model

    @cached_property
    def names(self) -> NameAllocator:
        """Fresh names."""
        return NameAllocator(self._model)

    @cached_property
    def editor(self) -> Editor:
        """The editor of this run."""
        return Editor(self._model)

    def finish(self) -> None:
        """Remove the nodes that the editor marked, if there is one."""
        if "editor" in self.__dict__:
            self.editor.finish()
