"""What a command asks or tells a running installation: its API, its log, its views, the carrier."""
