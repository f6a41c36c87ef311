"""What the Analytics page shows, made from the public API's JSON of groups of calls. Pure.

ranges      the range and time zone of the URL, its buckets, the same range a week earlier
links       the search for the calls behind a figure
figures     tiles: whatever ratios the API has, with their change and their curve
series      one figure over time, beside one week earlier
shares      hangup cause × SIP code, the funnel, and groups by a dimension
histogram   the classes of a duration as bars
policies    the carrier's policy lines, in the range and by UTC day
"""
