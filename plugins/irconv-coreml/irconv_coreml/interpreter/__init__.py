"""A reference interpreter of ML Programs.

It reads a saved ``.mlpackage`` by itself (specification and weight file) and computes what the
definitions of MIL's operators say, with NumPy. It shares no code with the emitter and uses
nothing of coremltools, so a misreading of one is not repeated by the other.

Numbers: float16 values are stored in 16 bits and computed in 32, rounded once at the end of each
operation. What Core ML's devices accumulate in is not published and may differ.

Every value is checked against the type that the program declares for it. Where MIL leaves a
result undefined (an index out of bounds, a tie of two samples, random numbers), the interpreter
refuses instead of guessing.
"""
