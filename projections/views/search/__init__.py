"""The search for sessions: which ones, in SQL and for a row in hand; lists of them and exports."""
