"""Faults of servers, machine, clock and user, each with its expected line, exit code and what must survive, on smoke-scale launches.

Each is tried in a process of its own, in namespaces of its own: what it mounts goes with it, and so does what it left running.
"""
