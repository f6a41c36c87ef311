"""The description of the event log: an AsyncAPI document, and a page drawn from it.

document    channels and records, as `offhook asyncapi` prints them
page        the page at /docs/asyncapi of a worker, plain HTML
examples    one record of each type
"""
