"""What figures of groups share: who is asked for, buckets of time, percentiles, and SQL."""
