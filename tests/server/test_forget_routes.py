"""Forgetting over HTTP: a plan, a token, a receipt; for operators of the scope alone."""

from typing import Any

import pytest

from tests.server.conftest import House


async def test_what_was_planned_is_forgotten_once_it_is_confirmed(keyed: House) -> None:
    ana = keyed.memory.scope(user="ana", agent="support")
    gone, kept = ana.remember("Order 7 is late."), ana.remember("Order 8 is on time.")
    async with keyed.client("operator") as operator:
        plan = (await operator.post("/v1/memory/forget", json={"ids": [gone.id]})).json()
        assert [fact["id"] for fact in plan["plan"]["facts"]] == [gone.id]
        assert [fact.state for fact in ana.facts()] == ["active", "active"]
        done = await operator.post("/v1/memory/forget", json={"confirm": plan["confirm"]})
        again = await operator.post("/v1/memory/forget", json={"confirm": plan["confirm"]})
    assert done.json()["receipt"]["facts"] == [gone.id]
    assert [fact.id for fact in ana.facts() if fact.state == "active"] == [kept.id]
    assert again.status_code == 400


@pytest.mark.parametrize("who", ["ana", "reader", "bruno"])
async def test_only_an_operator_of_the_scope_forgets(keyed: House, who: str) -> None:
    fact = keyed.memory.scope(user="ana", agent="support").remember("Order 7 is late.")
    async with keyed.client(who) as client:
        assert (await client.post("/v1/memory/forget", json={"ids": [fact.id]})).status_code == 403


@pytest.mark.parametrize(
    "body", [{}, {"ids": []}, {"ids": ["nope"]}, {"everything": False}, {"query": "x", "everything": True}, {"confirm": "x", "query": "y"}]
)
async def test_what_says_nothing_or_too_much_is_refused(keyed: House, body: dict[str, Any]) -> None:
    keyed.memory.scope(user="ana", agent="support").remember("Order 7 is late.")
    async with keyed.client("operator") as operator:
        assert (await operator.post("/v1/memory/forget", json=body)).status_code in {400, 404}
    assert [fact.state for fact in keyed.memory.scope(user="ana", agent="support").facts()] == ["active"]


async def test_an_empty_plan_has_nothing_to_confirm(keyed: House) -> None:
    async with keyed.client("operator") as operator:
        answer = (await operator.post("/v1/memory/forget", json={"query": "what nobody ever said"})).json()
    assert (answer["forgotten"], answer["confirm"]) == (False, None)
