"""What leaves event_log and the log: old sessions for the archive, and what is to be erased.

archive    segments of sessions that ended long ago, step by step, each of which can be repeated
leaving    what was archived is deleted from the log, many segments at once
settled    which sessions may go, and what of them is archived; pure
erase      all records of a session or a number, wherever they are
targets    which sessions those are
give_up    segments that are lost for good
rows       what erasing does in Postgres
scan       the proof: where any of it can still be found
vacuum     what was deleted leaves the tables' files
repair     event_log compared with the log, and copied again

alone          one of them at a time
segment_rows   what Postgres has of a segment
"""
