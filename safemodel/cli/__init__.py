"""The command line: one file per verb, which reads its arguments, calls the library and prints.

Rules kept here:

* Results go to stdout, everything else to stderr; with `--json`, stdout is one JSON document, also for a failure.
* An error is one line and a hint, never a traceback; the exit code says which kind it was (`failure.py`).
* No character of a file or a name that others chose reaches the terminal unescaped (`output.py`).
* A verb loads only what it needs: `verify` starts without NumPy, joblib, scikit-learn and pickle.
"""
