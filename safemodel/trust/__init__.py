"""May it be loaded: decisions on values, and the gate that makes a verified artifact."""
