"""langmem's own tools, unchanged, on SealStore."""

import json

from seal_agent.memory import Memory
from tests.integrations.hosts.host import needs

needs("langmem")

from langmem import create_manage_memory_tool, create_search_memory_tool  # noqa: E402  # only where it is installed
from seal_agent.integrations import langchain as ours  # noqa: E402


def test_langmem_s_tools_keep_find_change_and_delete_on_our_store(memory: Memory) -> None:
    store = ours.SealStore(memory.scope(agent="support"))
    manage = create_manage_memory_tool(("memories", "{user_id}"), store=store)
    search = create_search_memory_tool(("memories", "{user_id}"), store=store)
    ana = {"configurable": {"user_id": "ana"}}
    id = str(manage.invoke({"content": "Ana is vegetarian."}, config=ana)).removeprefix("created memory ")
    manage.invoke({"content": "Ana is vegan.", "id": id, "action": "update"}, config=ana)
    (found,) = json.loads(search.invoke({"query": "what does Ana eat?"}, config=ana))
    assert (found["key"], found["value"]) == (id, {"content": "Ana is vegan."})
    assert json.loads(search.invoke({"query": "eat"}, config={"configurable": {"user_id": "bruno"}})) == []
    manage.invoke({"id": id, "action": "delete"}, config=ana)
    assert json.loads(search.invoke({"query": "eat"}, config=ana)) == []


def test_our_tools_have_the_arguments_and_the_results_of_langmem_s(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    store = ours.SealStore(ana)
    for ours_made, theirs_made in (
        (ours.create_manage_memory_tool(ana), create_manage_memory_tool(("memories",), store=store)),
        (ours.create_search_memory_tool(ana), create_search_memory_tool(("memories",), store=store)),
    ):
        assert ours_made.name == theirs_made.name
        our, their = (set(made.tool_call_schema.model_json_schema()["properties"]) for made in (ours_made, theirs_made))
        assert our == their
    made = ours.create_manage_memory_tool(ana).invoke({"content": "Ana likes tea."})
    (found,) = json.loads(create_search_memory_tool(("memories",), store=store).invoke({"query": "tea"}))
    assert found["value"] == {"content": "Ana likes tea."}
    assert made == f"created memory {found['key']}"
    (ours_found,) = json.loads(ours.create_search_memory_tool(ana).invoke({"query": "tea"}))
    assert set(ours_found) == set(found)
