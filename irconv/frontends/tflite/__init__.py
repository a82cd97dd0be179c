"""The TFLite frontend.

``frontend.py`` is imported by everybody and needs nothing but irconv's dependencies.
``flatbuffer.py`` reads tables by the schema in ``schema.py`` and no byte outside of the file;
``file.py`` judges a whole file and gives it as the plain classes of ``model.py``. ``convert.py``
builds the graph by the converters in ``ops/``. LiteRT's interpreter runs in a worker
(``service.py``) and only on what was judged.
"""

from __future__ import annotations

from irconv.frontends.tflite.frontend import TfliteFrontend

__all__ = ["TfliteFrontend"]
