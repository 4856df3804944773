"""The pickle room: walking, writing and restricted loading of payloads. Nothing else in the project unpickles."""
