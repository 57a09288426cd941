"""Stages 3 and 4: ``trainer`` answers requests with candidates, ``rollout`` judges them and decides who serves.

Reading order: ``dataset`` (rows as of a request), ``fit`` and ``fitting`` (a model from them), ``training`` and
``trainer`` (request to candidate), ``judge``, ``paired``, ``state`` and ``machine`` (what is decided), ``decider`` and
``rollout``.
"""
