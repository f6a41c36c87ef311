"""A page is one file: what it asks the API, and what its template gets."""
