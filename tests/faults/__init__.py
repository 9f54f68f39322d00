"""The platform under fire, at length: ``make faults``. Not of ``make test``, which has the short form of each part."""
