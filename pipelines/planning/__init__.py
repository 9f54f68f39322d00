"""What a run would need — memory of each GPU, time — reckoned from its configuration alone. Pure, and light to import."""
