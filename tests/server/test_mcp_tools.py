"""Agents get what the command line says, with schemas, and a sentence where nothing can be said."""

import json
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

pytest.importorskip("mcp.server.mcpserver")

import shopvl
from shopvl.server.mcp_tools import tool_server


@pytest.fixture(scope="module")
def tools(tuned_folder: Path, shop_index: Path, toy_catalog, tmp_path_factory):
    """A function: tool, arguments -> what the agent gets."""
    from mcp.client import Client

    folder = tmp_path_factory.mktemp("agent")
    row = next(toy_catalog.batches(1)).row(0, named=True)
    (folder / "a.jpg").write_bytes(row["image"]["bytes"])
    model = shopvl.load(tuned_folder)
    server = tool_server(model, folder, model.open_index(shop_index))

    def call(name: str | None, **arguments):
        async def asked():
            async with Client(server) as client:
                return await (client.list_tools() if name is None else client.call_tool(name, arguments))

        return anyio.run(asked)

    return call, model, row


def test_tools_have_schemas(tools) -> None:
    call, _, _ = tools
    told = {tool.name: tool for tool in call(None).tools}
    assert told.keys() == {"tag_product", "ask_product", "search_products"}
    for tool in told.values():
        assert tool.description
        assert tool.output_schema
        assert tool.input_schema["properties"]
    assert told["ask_product"].input_schema["required"] == ["question"]


def test_tools_say_what_python_says(tools) -> None:
    call, model, row = tools
    said = call("tag_product", picture="a.jpg", title=row["title"]).structured_content["result"]
    assert [one["value"] for one in said] == [tag.value for tag in model.tag(row["image"]["bytes"], row["title"])]
    (reply,) = call("ask_product", question="is it red?", title="red shirt").structured_content["result"]
    assert reply["verdict"] == "yes"
    found = call("search_products", query="red", k=2).structured_content["result"]
    assert len(found) <= 2
    assert all(hit["title"] for hit in found)


@pytest.mark.parametrize(
    ("name", "arguments", "why"),
    [
        ("tag_product", {}, "nothing can be asked of this product"),
        ("tag_product", {"picture": "../secret.jpg"}, "is not a file below"),
        ("tag_product", {"picture": "/etc/passwd"}, "is not a file below"),
        ("tag_product", {"picture": "none.jpg"}, "there is no file"),
        ("ask_product", {"question": "how much?", "title": "red shirt"}, "names nothing this model knows"),
        ("search_products", {}, "nothing to search for"),
        ("search_products", {"query": "red", "k": 1000}, "less than or equal to 100"),
    ],
)
def test_what_cannot_be_said_is_a_sentence(tools, name: str, arguments: dict, why: str) -> None:
    call, _, _ = tools
    result = call(name, **arguments)
    assert result.is_error
    assert why in result.content[0].text


@pytest.mark.zoo
def test_the_command_speaks_the_protocol() -> None:
    """As an agent starts it, without a library in between."""
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    lines = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
    ]
    words = [sys.executable, "-m", "shopvl.cli", "mcp"]
    agent = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        said = []
        for line in lines:
            agent.stdin.write(json.dumps(line) + "\n")
            agent.stdin.flush()
            if "id" in line:
                said.append(json.loads(agent.stdout.readline()))
        assert said[0]["result"]["serverInfo"]["name"] == "shopvl"
        assert [tool["name"] for tool in said[1]["result"]["tools"]] == ["tag_product", "ask_product"]
        agent.stdin.close()
        assert agent.wait(30) == 0
    finally:
        agent.kill()
        agent.wait()
