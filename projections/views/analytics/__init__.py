"""Key figures: of calls, and of commands, visits to queues, webhooks and load.

    kpis, leg_facts     what is counted of calls: names, rules, SQL over a row of `legs`
    subjects/           what is counted of commands, visits to queues and webhooks
      ↓ rollups/        sums over legs, kept with every batch
      ↓ hourly/         figures of hours that are over
    timeseries          calls of a range, as a whole or by bucket
    groups              calls by bucket and by what they have in common
    subject_figures     subjects, grouped in the same way
    load/, queues       calls at once, busy hours; queues now and over a range
    refill              fills empty roll-ups of a version of the views

What replies share (buckets of time, percentiles, SQL of groups) is in grouping/.
"""
