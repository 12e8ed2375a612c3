//! The mode `print-config`: what to put into a client's configuration.

use std::{env, ffi::OsString};

use serde_json::{Value, json};

use crate::command::Arguments;

/// How this program was started, as JSON: a list of words. Whoever starts it for others says so (the npm package).
const COMMAND: &str = "MCP_RUN_PYTHON_COMMAND";

/// A client, where it has its configuration, and what that is for a server.
type Client = (&'static str, &'static str, fn(&Server) -> Result<String, String>);

/// The clients.
const CLIENTS: [Client; 9] = [
    ("claude", "claude_desktop_config.json (Claude Desktop: Settings, Developer)", claude),
    ("claude-code", "a terminal", claude_code),
    ("cursor", "~/.cursor/mcp.json", |server| servers("mcpServers", server, None, "url")),
    ("vscode", ".vscode/mcp.json", |server| servers("servers", server, Some(["stdio", "http"]), "url")),
    ("windsurf", "~/.codeium/windsurf/mcp_config.json", |server| servers("mcpServers", server, None, "serverUrl")),
    ("zed", "settings.json", |server| servers("context_servers", server, None, "url")),
    ("pydantic-ai", "Python", pydantic_ai),
    ("openai-agents", "Python", openai_agents),
    ("langchain", "Python", langchain),
];

/// How a client reaches the server.
enum Server {
    /// It starts it, by these words.
    Started(Vec<String>),
    /// It runs already, at this address.
    At(String),
}

/// What to print for what follows `print-config`: a client, and a mode if it is not to be `stdio`. The options of the command
/// line become the client's.
///
/// # Errors
/// There is no such client, or no such way to reach a server.
pub fn print(arguments: &Arguments, words: &[OsString]) -> Result<String, String> {
    let names = CLIENTS.map(|(name, ..)| name).join(", ");
    let [asked, mode @ ..] = arguments.rest.as_slice() else { return Ok(format!("print-config knows: {names}\n")) };
    let (_, place, snippet) = CLIENTS
        .iter()
        .find(|(name, ..)| name.eq_ignore_ascii_case(asked))
        .ok_or_else(|| format!("argument print-config: there is no client '{asked}'; there are: {names}"))?;
    let mode = mode.first().map_or("stdio", String::as_str);
    let mut command = started_by();
    let options = words.iter().map(|word| word.to_string_lossy().into_owned());
    command.extend(options.filter(|word| word != "print-config" && word != asked && word != mode));
    command.push(mode.to_owned());
    let (server, first) = match mode {
        "stdio" => (Server::Started(command), String::new()),
        "streamable-http" | "streamable-http-stateless" => {
            let (host, port) = (&arguments.host, arguments.port);
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            let first = format!("Start the server:\n\n{}\n\n", command.join(" "));
            (Server::At(format!("http://{host}:{port}/mcp")), first)
        }
        _ => {
            return Err(format!(
                "argument print-config: '{mode}' is no way to reach a server; there are: stdio, streamable-http, \
                 streamable-http-stateless"
            ));
        }
    };
    let snippet = snippet(&server)?;
    let place = if *place == "Python" { String::new() } else { format!("{place}:\n\n") };
    Ok(format!("{first}{place}{snippet}\n"))
}

/// The words that start this program again, from anywhere.
fn started_by() -> Vec<String> {
    let told = env::var(COMMAND).ok().and_then(|words| serde_json::from_str::<Vec<String>>(&words).ok());
    told.filter(|words| !words.is_empty()).unwrap_or_else(|| {
        let program = env::current_exe().map(|program| program.to_string_lossy().into_owned());
        vec![program.unwrap_or_else(|_| "mcp-run-python".to_owned())]
    })
}

/// A list of texts, as Python and JSON have them.
fn list(words: &[String]) -> String {
    format!("[{}]", words.iter().map(|word| json!(word).to_string()).collect::<Vec<_>>().join(", "))
}

/// The first word, and the list of the others, in Python.
fn command_in_python(words: &[String]) -> (String, String) {
    let (first, others) = words.split_first().map_or((String::new(), [].as_slice()), |(word, all)| (word.clone(), all));
    (json!(first).to_string(), list(others))
}

fn claude(server: &Server) -> Result<String, String> {
    match server {
        Server::Started(_) => servers("mcpServers", server, None, "url"),
        Server::At(_) => {
            Err("argument print-config: Claude Desktop starts servers of this machine itself: use stdio".into())
        }
    }
}

fn claude_code(server: &Server) -> Result<String, String> {
    Ok(match server {
        Server::Started(words) => format!("claude mcp add python -- {}", words.join(" ")),
        Server::At(url) => format!("claude mcp add --transport http python {url}"),
    })
}

fn pydantic_ai(server: &Server) -> Result<String, String> {
    let (import, toolset) = match server {
        Server::Started(words) => {
            let (command, arguments) = command_in_python(words);
            let import = "from fastmcp.client.transports import StdioTransport\n";
            (import, format!("StdioTransport({command}, {arguments})"))
        }
        Server::At(url) => ("", format!("'{url}'")),
    };
    Ok(format!(
        "{import}from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset

agent = Agent('your-model', toolsets=[MCPToolset({toolset})])"
    ))
}

fn openai_agents(server: &Server) -> Result<String, String> {
    let (class, parameters) = match server {
        Server::Started(words) => {
            let (command, arguments) = command_in_python(words);
            ("MCPServerStdio", format!("{{'command': {command}, 'args': {arguments}}}"))
        }
        Server::At(url) => ("MCPServerStreamableHttp", format!("{{'url': '{url}'}}")),
    };
    Ok(format!(
        "from agents import Agent
from agents.mcp import {class}

async with {class}({parameters}) as server:
    agent = Agent(name='python', mcp_servers=[server])"
    ))
}

fn langchain(server: &Server) -> Result<String, String> {
    let parameters = match server {
        Server::Started(words) => {
            let (command, arguments) = command_in_python(words);
            format!("'transport': 'stdio', 'command': {command}, 'args': {arguments}")
        }
        Server::At(url) => format!("'transport': 'streamable_http', 'url': '{url}'"),
    };
    Ok(format!(
        "from langchain_mcp_adapters.client import MultiServerMCPClient

client = MultiServerMCPClient({{'python': {{{parameters}}}}})
tools = await client.get_tools()"
    ))
}

/// JSON with the server under `key`; `kinds` are what the client calls one that it starts, and one at an address, which it
/// has in the member `address`.
fn servers(key: &str, server: &Server, kinds: Option<[&str; 2]>, address: &str) -> Result<String, String> {
    let mut told = serde_json::Map::new();
    if let Some([started, at]) = kinds {
        let kind = if matches!(server, Server::Started(_)) { started } else { at };
        told.insert("type".to_owned(), kind.into());
    }
    match server {
        Server::Started(words) => {
            let (command, arguments) = words.split_first().ok_or("there is no command")?;
            told.insert("command".to_owned(), command.as_str().into());
            told.insert("args".to_owned(), arguments.into());
        }
        Server::At(url) => drop(told.insert(address.to_owned(), url.as_str().into())),
    }
    let configuration: Value = json!({ key: { "python": told } });
    serde_json::to_string_pretty(&configuration).map_err(|error| error.to_string())
}
