"""Every error of the carrier: HTTP status, code, title and detail, in its own words.

Source: examples of team-telnyx/openapi `spec3.yml`; developers.telnyx.com api-errors page.
Status *and* code identify an error: 10007 and 10011 are each used with several statuses.
"""
