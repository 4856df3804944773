"""What the bytes of an artifact are. Untrusted bytes live here; no keys, no policy, no pickle."""
