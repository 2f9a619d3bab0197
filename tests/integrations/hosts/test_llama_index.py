"""The memory block, in a real LlamaIndex memory."""

from seal_agent.memory import Memory as Brain
from tests.integrations.hosts.host import needs

needs("llama_index")

from llama_index.core.base.llms.types import ChatMessage  # noqa: E402  # only where it is installed
from llama_index.core.memory import Memory  # noqa: E402
from seal_agent.integrations.llama_index import SealMemoryBlock  # noqa: E402


async def test_what_is_remembered_comes_with_the_messages(memory: Brain) -> None:
    ana = memory.scope(user="ana")
    ana.add("I'm vegetarian.")
    chat = Memory.from_defaults(session_id="s1", token_limit=4000, memory_blocks=[SealMemoryBlock(scope=ana)])
    await chat.aput(ChatMessage(role="user", content="What may I eat?"))
    messages = await chat.aget()
    assert any("I'm vegetarian." in str(message.content) for message in messages)


async def test_messages_that_leave_the_short_term_memory_are_recorded(memory: Brain) -> None:
    ana = memory.scope(user="ana")
    block = SealMemoryBlock(scope=ana)
    chat = Memory.from_defaults(session_id="s1", token_limit=60, chat_history_token_ratio=0.5, token_flush_size=10, memory_blocks=[block])
    await chat.aput_messages([ChatMessage(role="user", content="My parrot is called Figo, he is green and loud.")])
    for number in range(12):
        await chat.aput_messages(
            [
                ChatMessage(role="assistant", content=f"I see, number {number}."),
                ChatMessage(role="user", content=f"Go on, number {number}."),
            ]
        )
    hits = ana.search("parrot")
    assert hits[0].text.startswith("My parrot is called Figo")
    assert memory.stats().episodes >= 1


async def test_a_block_that_is_too_long_is_left_out_whole(memory: Brain) -> None:
    assert await SealMemoryBlock(scope=memory.scope()).atruncate("text", 1) is None
    assert await SealMemoryBlock(scope=memory.scope()).aget([]) == ""
