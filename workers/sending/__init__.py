"""Commands on their way to the carrier: the queue, rate limits, the fleet's share."""
