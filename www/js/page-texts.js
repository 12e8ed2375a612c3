// Texts that the page shows: programs to try, and snippets to copy.

/** @type {Record<string, string>} */
export const examples = {
  Hello: `import sys

print("Python", sys.version.split()[0], "in your browser")
print("a warning", file=sys.stderr)

squares = {n: n * n for n in range(1, 6)}
squares`,
  'A figure': `import matplotlib.pyplot as plt
import numpy as np

x = np.linspace(0, 10, 400)
plt.figure(figsize=(7, 3))
plt.plot(x, np.sin(x), label="sin")
plt.plot(x, np.cos(x), label="cos")
plt.legend()
plt.title("Drawn in the sandbox")`,
  'A table': `import statistics

samples = {"red": [3, 4, 8], "green": [5, 5, 6], "blue": [1, 9, 2]}
[
    {"name": name, "mean": statistics.mean(values), "deviation": round(statistics.stdev(values), 2)}
    for name, values in samples.items()
]`,
  'An error': `def divide(a, b):
    return a / b

print("about to fail")
divide(1, 0)`,
  'An endless loop': `n = 0
while True:
    n += 1
    if n % 1_000_000 == 0:
        print(n, "and counting: press Stop")`,
  'No way out': `import socket, subprocess, urllib.request
import js
from pyodide.http import pyfetch

attempts = {
    "urllib, to https://example.com": lambda: urllib.request.urlopen("https://example.com"),
    "fetch, of https://example.com": lambda: pyfetch("https://example.com"),
    "fetch, of this machine": lambda: pyfetch("http://127.0.0.1"),
    "a socket, to http://192.168.1.1": lambda: socket.create_connection(("192.168.1.1", 80), timeout=2).send(b"x"),
    "the document of this page": lambda: js.document.cookie,
    "what this site has stored": lambda: js.localStorage.length,
    "a command of the system": lambda: subprocess.run(["ls", "/"]),
}
for what, attempt in attempts.items():
    try:
        reached = attempt()
        if hasattr(reached, "__await__"):
            reached = await reached
        print(f"{what}: REACHED")
    except Exception as error:
        print(f"{what}: refused, {type(error).__name__}: {error}")`,
};

/** How to connect to the endpoint. @param {string} url @returns {[string, string][]} */
export function clients(url) {
  return [
    ['Claude Code', `claude mcp add --transport http python ${url}`],
    ['Cursor and others that read JSON', json({ mcpServers: { python: { type: 'http', url } } })],
    ['VS Code: .vscode/mcp.json', json({ servers: { python: { type: 'http', url } } })],
    [
      'Pydantic AI',
      `from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset

agent = Agent('anthropic:claude-sonnet-4-5', toolsets=[MCPToolset('${url}')])`,
    ],
    [
      'Python, package mcp',
      `from mcp import Client

async with Client('${url}') as client:
    result = await client.call_tool('run_python_code', {'python_code': '1 + 1'})`,
    ],
    [
      'TypeScript, package @modelcontextprotocol/client',
      `import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const client = new Client({ name: 'app', version: '1.0.0' });
await client.connect(new StreamableHTTPClientTransport(new URL('${url}')));`,
    ],
    [
      'OpenAI Agents SDK',
      `from agents import Agent
from agents.mcp import MCPServerStreamableHttp

# A run may take a minute, and packages come first; the SDK itself waits for 5 seconds.
async with MCPServerStreamableHttp(params={'url': '${url}'}, client_session_timeout_seconds=120) as server:
    agent = Agent(name='analyst', mcp_servers=[server])`,
    ],
  ];
}

/** How to use the sandbox in a page. @param {string} base @returns {[string, string][]} */
export function embeddings(base) {
  return [
    [
      'An element',
      `<script type="module" src="${base}python-sandbox.js"></script>

<python-sandbox dependencies="numpy">
  import numpy as np

  np.arange(10).sum()
</python-sandbox>`,
    ],
    [
      'A function',
      `import { codeSandbox } from '${base}code-sandbox.js';

using sandbox = await codeSandbox({ dependencies: ['numpy'] });
const { status, output, return_value } = await sandbox.eval('print(x); x * 2', { x: 21 });`,
    ],
    [
      'An MCP server for the agent in your page',
      `import { Client } from '@modelcontextprotocol/client';
import { pythonServer } from '${base}code-sandbox.js';

const server = await pythonServer();
const client = new Client({ name: 'app', version: '1.0.0' });
await client.connect(server.transport());
await client.callTool({ name: 'run_python_code', arguments: { python_code: '1 + 1' } });`,
    ],
  ];
}

/** @param {unknown} value */
function json(value) {
  return JSON.stringify(value, null, 2);
}
