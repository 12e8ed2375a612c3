//! The mode `print-config`: what to put into a client's configuration.

use std::ffi::OsString;

use serde_json::{Map, Value, json};

/// The clients, and where each has its configuration.
const CLIENTS: [(&str, &str); 9] = [
    ("claude", "claude_desktop_config.json (Claude Desktop: Settings, Developer)"),
    ("claude-code", "a terminal"),
    ("cursor", "~/.cursor/mcp.json"),
    ("vscode", ".vscode/mcp.json"),
    ("windsurf", "~/.codeium/windsurf/mcp_config.json"),
    ("zed", "settings.json"),
    ("pydantic-ai", "Python"),
    ("openai-agents", "Python"),
    ("langchain", "Python"),
];

/// What to print for the client of this name. What is not of `print-config` itself in the words of the command line becomes
/// the client's.
///
/// # Errors
/// There is no such client.
pub fn print(name: Option<&str>, words: &[OsString]) -> Result<String, String> {
    let names: Vec<&str> = CLIENTS.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    let Some(asked) = name else { return Ok(format!("print-config knows: {names}\n")) };
    let (name, place) = CLIENTS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(asked))
        .ok_or_else(|| format!("argument print-config: there is no client '{asked}'; there are: {names}"))?;
    let mut arguments = vec!["-y".to_owned(), "mcp-run-python".to_owned()];
    let words = words.iter().map(|word| word.to_string_lossy().into_owned());
    arguments.extend(words.filter(|word| word != "print-config" && word != asked));
    arguments.push("stdio".to_owned());
    let snippet = snippet(name, &arguments);
    Ok(if *place == "Python" { format!("{snippet}\n") } else { format!("{place}:\n\n{snippet}\n") })
}

fn snippet(client: &str, arguments: &[String]) -> String {
    let list = format!("[{}]", arguments.iter().map(|word| json!(word).to_string()).collect::<Vec<_>>().join(", "));
    match client {
        "claude-code" => format!("claude mcp add python -- npx {}", arguments.join(" ")),
        "vscode" => servers("servers", Some("stdio"), arguments),
        "zed" => servers("context_servers", None, arguments),
        "pydantic-ai" => format!(
            "from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset

agent = Agent('your-model', toolsets=[MCPToolset(StdioTransport('npx', {list}))])"
        ),
        "openai-agents" => format!(
            "from agents import Agent
from agents.mcp import MCPServerStdio

async with MCPServerStdio({{'command': 'npx', 'args': {list}}}) as server:
    agent = Agent(name='python', mcp_servers=[server])"
        ),
        "langchain" => format!(
            "from langchain_mcp_adapters.client import MultiServerMCPClient

client = MultiServerMCPClient({{'python': {{'transport': 'stdio', 'command': 'npx', 'args': {list}}}}})
tools = await client.get_tools()"
        ),
        _ => servers("mcpServers", None, arguments),
    }
}

fn servers(key: &str, kind: Option<&str>, arguments: &[String]) -> String {
    let mut server = Map::new();
    if let Some(kind) = kind {
        server.insert("type".to_owned(), kind.into());
    }
    server.insert("command".to_owned(), "npx".into());
    server.insert("args".to_owned(), arguments.into());
    let configuration: Value = json!({ key: { "python": server } });
    serde_json::to_string_pretty(&configuration).unwrap_or_default()
}
