"""What may go on on a leg, a family of operations each."""
