"""The example: inputs and what the model predicted for them, kept as data and run again later.

Rules: nothing here pickles; what is stored has one form (docs/spec.md, section "Example"); what is read may be bytes of
anybody, so every size is checked before memory is taken, and only our own errors come out. NumPy, SciPy and pandas are
imported where a value needs them, since who only verifies needs none of them.
"""
