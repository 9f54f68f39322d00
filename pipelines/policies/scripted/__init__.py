"""The scripted policy: no network, for tests."""
