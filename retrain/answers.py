"""A trainer's answers in the audit log: how they are named, written and found."""

import msgspec

from schemas.ids import canonical_json, content_id
from schemas.lifecycle import Candidate, Request
from schemas.windows import from_ms
from warehouse.client import Warehouse


def candidate_id(request_id: str) -> str:
    """Name of the one answer to a request."""
    return content_id("candidate", request_id)


def snapshot_id(request_id: str) -> str:
    """Name of the snapshot of a request."""
    return content_id("snapshot", request_id)


def answer_rows(request: Request, candidate: Candidate) -> list[list[object]]:
    """Rows of ``audit`` for an answer: the snapshot, if one was made, and the candidate."""
    at = from_ms(request.at)
    head = [request.namespace, request.model]
    rows: list[list[object]] = []
    if candidate.snapshot:
        body = {
            "address": candidate.snapshot,
            "history_from": request.history_from,
            "holdout_from": request.holdout_from,
            "as_of": request.as_of,
            "rows": candidate.rows,
            "holdout_rows": candidate.holdout_rows,
        }
        text = canonical_json(body).decode()
        rows.append([*head, "snapshot", snapshot_id(request.id), request.id, candidate.version, at, text])
    text = canonical_json(candidate).decode()
    rows.append([*head, "candidate", candidate.id, request.id, candidate.version, at, text])
    return rows


def find_answer(warehouse: Warehouse, request: Request) -> Candidate | None:
    """The recorded answer to a request, if there is one."""
    found = warehouse.rows(
        "SELECT body FROM audit FINAL WHERE namespace = {namespace:String} AND model = {model:String} "
        "AND kind = 'candidate' AND id = {id:String}",
        {"namespace": request.namespace, "model": request.model, "id": candidate_id(request.id)},
    )
    return msgspec.json.decode(found[0][0], type=Candidate) if found else None
