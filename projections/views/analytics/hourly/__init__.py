"""Figures of whole hours that do not add up over partitions, or not cheaply enough for each batch.

    rows ──triggers──▶ hour_changes: how often what an hour is made of has changed
     │                      │ compared by readers and by the projector
     └───once it is over────▶ hours_made: at which number of changes ──▶ the hour's figures

`keeping` makes them as long as a projector runs. `days` sums them up: a day counts as long as the
changes of all its hours are the same.

An hour's figures count only as long as both numbers are the same, so they are never old: after a
late fact readers count that hour from rows, until the projector has made it anew.
"""
