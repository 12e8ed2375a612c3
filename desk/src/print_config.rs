//! The mode `print-config`: what to put into a client's configuration.

use std::{
    env, fs,
    path::{self, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::command::Arguments;

/// The environment variable with the command that starts this program, as a JSON list. The npm package sets it.
const COMMAND: &str = "MCP_RUN_PYTHON_COMMAND";

/// The longest address of a server.
const MAX_URL: usize = 2048;

/// A client of MCP, such as Cursor.
struct Client {
    /// Its name; capitals do not matter.
    name: &'static str,
    /// The place of its configuration.
    place: &'static str,
    /// Makes the configuration for a server.
    snippet: fn(&Server) -> Result<String, String>,
    /// Makes links that install a server, if the client knows any.
    links: Option<Links>,
}

/// Makes links, each with its purpose.
type Links = fn(&Server) -> Result<Vec<(&'static str, String)>, String>;

const fn client(name: &'static str, place: &'static str, snippet: fn(&Server) -> Result<String, String>) -> Client {
    Client { name, place, snippet, links: None }
}

/// The clients for which there is a configuration.
const CLIENTS: [Client; 9] = [
    client("claude", "claude_desktop_config.json (Claude Desktop: Settings, Developer)", claude),
    client("claude-code", "a terminal", claude_code),
    Client {
        links: Some(of_cursor),
        ..client("cursor", "~/.cursor/mcp.json", |server| servers("mcpServers", server, None, "url"))
    },
    Client {
        links: Some(of_vscode),
        ..client("vscode", ".vscode/mcp.json", |server| servers("servers", server, Some(VSCODE), "url"))
    },
    client("windsurf", "~/.codeium/windsurf/mcp_config.json", |server| {
        servers("mcpServers", server, None, "serverUrl")
    }),
    client("zed", "settings.json", |server| servers("context_servers", server, None, "url")),
    client("pydantic-ai", "Python", pydantic_ai),
    client("openai-agents", "Python", openai_agents),
    client("langchain", "Python", langchain),
];

/// The names of the clients.
#[expect(clippy::indexing_slicing, reason = "it would be the compiler that panics")]
pub const NAMES: [&str; CLIENTS.len()] = {
    let mut names = [""; CLIENTS.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = CLIENTS[index].name;
        index += 1;
    }
    names
};

/// How a server can be reached.
pub const MODES: [&str; 3] = ["stdio", "streamable-http", "streamable-http-stateless"];

/// VS Code's `type` of a server that it starts, and of one at an address.
const VSCODE: [&str; 2] = ["stdio", "http"];

/// The purpose of a link that opens the client through its maker's web site.
const OF_WEB: &str = "The same for pages that may have links of the web alone";

/// How a client reaches the server.
enum Server {
    /// The client starts it, by this command.
    Started(Vec<String>),
    /// The server runs already, at this address.
    At(String),
}

/// The text to print. `arguments.rest` is a client, and a mode if it is not to be `stdio`. The client's configuration
/// passes the other options on to the server.
///
/// # Errors
/// There is no such client, or no such way to reach a server.
pub fn print(arguments: &Arguments) -> Result<String, String> {
    let names = NAMES.join(", ");
    let [asked, mode @ ..] = arguments.rest.as_slice() else { return Ok(format!("print-config knows: {names}\n")) };
    let client = CLIENTS
        .iter()
        .find(|client| client.name.eq_ignore_ascii_case(asked))
        .ok_or_else(|| format!("argument print-config: there is no client '{asked}'; there are: {names}"))?;
    let (server, first) = server(arguments, mode.first().map(String::as_str))?;
    let snippet = (client.snippet)(&server)?;
    let place = if client.place == "Python" { String::new() } else { format!("{}:\n\n", client.place) };
    let mut text = format!("{first}{place}{snippet}\n");
    for (what, link) in client.links.map(|links| links(&server)).transpose()?.unwrap_or_default() {
        text += &format!("\n{what}:\n\n{link}\n");
    }
    Ok(text)
}

/// The server that the client is to reach, and a text about what to do before.
fn server(arguments: &Arguments, mode: Option<&str>) -> Result<(Server, String), String> {
    if let Some(url) = &arguments.url {
        let is_one = url.parse::<http::Uri>().is_ok_and(|url| {
            matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty())
        });
        // The URL is written between quotes.
        if !is_one || url.len() > MAX_URL || url.contains(['\'', '"', '\\']) {
            return Err(format!("argument --url: '{url}' is no address such as https://host.example/mcp"));
        }
        return match mode {
            Some("stdio") => Err("argument --url: a server at an address is not reached by stdio".to_owned()),
            _ => Ok((Server::At(url.clone()), String::new())),
        };
    }
    let mode = mode.unwrap_or("stdio");
    let mut command = started_by();
    command.extend_from_slice(&arguments.options);
    command.push(mode.to_owned());
    match mode {
        "stdio" => Ok((Server::Started(command), String::new())),
        "streamable-http" | "streamable-http-stateless" => {
            let (host, port) = (&arguments.host, arguments.port);
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            let first = format!("Start the server:\n\n{}\n\n", for_shell(&command));
            Ok((Server::At(format!("http://{host}:{port}/mcp")), first))
        }
        _ => {
            Err(format!("argument print-config: '{mode}' is no way to reach a server; there are: {}", MODES.join(", ")))
        }
    }
}

/// The command that starts this program again, from any folder.
fn started_by() -> Vec<String> {
    let told = env::var(COMMAND).ok().and_then(|words| serde_json::from_str::<Vec<String>>(&words).ok());
    told.filter(|words| !words.is_empty()).unwrap_or_else(|| {
        let program = called().map(|program| program.to_string_lossy().into_owned());
        vec![program.unwrap_or_else(|| "mcp-run-python".to_owned())]
    })
}

/// The path by which this program was called: a link to it stays when a newer version takes its place.
fn called() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let found = || {
        let word = PathBuf::from(env::args_os().next()?);
        let path = match word.components().count() {
            1 => {
                env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(&word)).find(|path| path.is_file())?
            }
            _ => word,
        };
        let is_it = fs::canonicalize(&path).ok()? == fs::canonicalize(&program).ok()?;
        is_it.then(|| path::absolute(path).ok())?
    };
    Some(found().unwrap_or(program))
}

/// Quotes words for a shell.
fn for_shell(words: &[String]) -> String {
    let is_plain =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c));
    let quoted = |word: &String| match is_plain(word) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// A list of strings, in the syntax of both Python and JSON.
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
        Server::Started(words) => format!("claude mcp add python -- {}", for_shell(words)),
        Server::At(url) => format!("claude mcp add --transport http python {}", for_shell(std::slice::from_ref(url))),
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

/// Cursor's link: the server's name, and its configuration as `mcp.json` has it.
fn of_cursor(server: &Server) -> Result<Vec<(&'static str, String)>, String> {
    let configuration = STANDARD.encode(Value::from(told(server, None, "url")?).to_string());
    let asked = format!("name=python&config={}", encoded(&configuration));
    Ok(vec![
        (
            "Or open this link, upon which Cursor asks",
            format!("cursor://anysphere.cursor-deeplink/mcp/install?{asked}"),
        ),
        (OF_WEB, format!("https://cursor.com/install-mcp?{asked}")),
    ])
}

/// VS Code's links: the configuration with the server's name in it.
fn of_vscode(server: &Server) -> Result<Vec<(&'static str, String)>, String> {
    let mut configuration = Map::from_iter([("name".to_owned(), "python".into())]);
    configuration.extend(told(server, Some(VSCODE), "url")?);
    let configuration = encoded(&Value::from(configuration).to_string());
    let link = format!("vscode:mcp/install?{configuration}");
    let of_web = format!("https://insiders.vscode.dev/redirect?url={}", encoded(&link));
    Ok(vec![
        ("Or open this link, upon which VS Code asks", link),
        (OF_WEB, of_web),
        ("For VS Code Insiders", format!("vscode-insiders:mcp/install?{configuration}")),
    ])
}

/// Encodes like JavaScript's `encodeURIComponent`.
fn encoded(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'!')
        .remove(b'~')
        .remove(b'*')
        .remove(b'\'')
        .remove(b'(')
        .remove(b')');
    utf8_percent_encode(text, KEPT).to_string()
}

/// JSON with the server under `key`.
fn servers(key: &str, server: &Server, kinds: Option<[&str; 2]>, address: &str) -> Result<String, String> {
    let configuration = json!({ key: { "python": told(server, kinds, address)? } });
    serde_json::to_string_pretty(&configuration).map_err(|error| error.to_string())
}

/// The server's entry in a client's configuration. `kinds` are the client's types of a server that it starts, and of
/// one at an address, whose URL is in the member `address`.
fn told(server: &Server, kinds: Option<[&str; 2]>, address: &str) -> Result<Map<String, Value>, String> {
    let mut told = Map::new();
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
    Ok(told)
}
