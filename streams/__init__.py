"""What happens to events: ``aggregate`` counts them exactly (stage 1), ``monitor`` decides on the counts (stage 2)."""
