"""``driftline replay``: a table of predictions through Kafka and the same processors; what would it have paged for?

Reading order: ``plan`` (under which name, by which spec and reference), ``events`` (rows to records), ``sender`` (in an
order that leaves nothing to chance), ``follow`` (wait by public records), ``result`` (read it back), ``show`` and
``report`` (tell it), ``run`` (all of it).
"""
