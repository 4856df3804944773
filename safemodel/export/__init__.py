"""What other tools read: artifacts described in the formats of other standards (docs/export.md).

A verified artifact goes in. Nothing that comes out satisfies the gate: a statement signed here has a payload type of
its own, and no signature over it holds for an artifact, nor the other way round.
"""
