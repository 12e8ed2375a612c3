// The mode `print-config`: what to put into a client's configuration.
import { UsageError } from './arguments.js';

/** @typedef {{ where: string, snippet: (args: string[]) => string }} Client */

/** @param {object} value */
const json = (value) => JSON.stringify(value, null, 2);

/** @param {string} key */
const servers =
  (key, more = {}) =>
  (/** @type {string[]} */ args) =>
    json({ [key]: { python: { ...more, command: 'npx', args } } });

/** @param {string[]} args */
const list = (args) =>
  json(args)
    .replaceAll(/\s*\n\s*/g, ' ')
    .replace('[ ', '[')
    .replace(' ]', ']');

/** @type {Record<string, Client>} */
const CLIENTS = {
  claude: { where: 'claude_desktop_config.json (Claude Desktop: Settings, Developer)', snippet: servers('mcpServers') },
  'claude-code': { where: 'a terminal', snippet: (args) => `claude mcp add python -- npx ${args.join(' ')}` },
  cursor: { where: '~/.cursor/mcp.json', snippet: servers('mcpServers') },
  vscode: { where: '.vscode/mcp.json', snippet: servers('servers', { type: 'stdio' }) },
  windsurf: { where: '~/.codeium/windsurf/mcp_config.json', snippet: servers('mcpServers') },
  zed: { where: 'settings.json', snippet: servers('context_servers') },
  'pydantic-ai': {
    where: 'Python',
    snippet: (args) => `from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset

agent = Agent('your-model', toolsets=[MCPToolset(StdioTransport('npx', ${list(args)}))])`,
  },
  'openai-agents': {
    where: 'Python',
    snippet: (args) => `from agents import Agent
from agents.mcp import MCPServerStdio

async with MCPServerStdio({'command': 'npx', 'args': ${list(args)}}) as server:
    agent = Agent(name='python', mcp_servers=[server])`,
  },
  langchain: {
    where: 'Python',
    snippet: (args) => `from langchain_mcp_adapters.client import MultiServerMCPClient

client = MultiServerMCPClient({'python': {'transport': 'stdio', 'command': 'npx', 'args': ${list(args)}}})
tools = await client.get_tools()`,
  },
};

/**
 * @param {string | undefined} name of a client
 * @param {string[]} words of the command line; what is not of `print-config` itself becomes the client's
 */
export function printConfig(name, words) {
  const names = Object.keys(CLIENTS).join(', ');
  if (name === undefined) return `print-config knows: ${names}\n`;
  const client = Object.hasOwn(CLIENTS, name) ? CLIENTS[name] : undefined;
  if (!client) throw new UsageError(`argument print-config: there is no client '${name}'; there are: ${names}`);
  const options = words.filter((word) => word !== 'print-config' && word !== name);
  const snippet = client.snippet(['-y', 'mcp-run-python', ...options, 'stdio']);
  const comment = client.where === 'Python' ? '' : `${client.where}:\n\n`;
  return `${comment}${snippet}\n`;
}
