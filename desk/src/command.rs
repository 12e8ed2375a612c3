//! The command line: the original's words, and ours.

use std::{collections::HashMap, ffi::OsString};

use clap::{Arg, ArgAction, ArgMatches, Command, error::ErrorKind};

use crate::log::Log;

/// The version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

const MODES: [&str; 8] =
    ["stdio", "streamable-http", "streamable-http-stateless", "example", "print-config", "fetch", "cache", "doctor"];

/// The first line of what is said about wrong words.
pub fn usage() -> String {
    format!("usage: mcp-run-python [-h] [--version] [options] {{{}}}", MODES.join(","))
}

/// What `--help` says.
pub fn help() -> String {
    format!(
        "{}

mcp-run-python v{VERSION}

MCP server for running untrusted Python code.

modes:
  stdio                      MCP over stdin and stdout: what desktop clients start
  streamable-http            MCP over HTTP, with sessions, at http://127.0.0.1:3001/mcp
  streamable-http-stateless  the same without sessions
  example                    runs a short program that needs numpy, and prints the result
  print-config CLIENT [MODE]
                             prints what to put into a client's configuration; without CLIENT, which there are
  fetch REQUIREMENT...       fetches packages and what they need, and makes their first import quick: for
                             when there is no network
  cache [clear]              shows what packages take on the disk, or deletes them
  doctor                     says what confines Python on this machine, and what a missing piece costs

options:
  -h, --help             show this help and exit
  --version              show the version and exit
  --port PORT            port of the HTTP server [3001]; 0 chooses a free one
  --host ADDRESS         address that the HTTP server listens on [127.0.0.1]
  --deps, --dependencies LIST
                         packages to install, separated by commas
  --return-mode xml|json
                         how the text of results is written [xml]
  --files DIR            a folder whose files programs can read, in data/
  --time-limit SECONDS   wall-clock limit of a run [60]
  --processes N          workerd processes at most [the cores, at least 2]
  --set NAME=VALUE       any other setting of docs/settings.md, for example SESSION_IDLE_SECONDS=600
  --disable-networking   for the original's sake: Python has no network anyway
  --verbose              say more, on stderr
  --log-format text|json
                         how that is written [text]
",
        usage()
    )
}

/// What the words ask for.
#[derive(Debug)]
pub enum Asked {
    /// `--help`.
    Help,
    /// `--version`.
    Version,
    /// One of the modes.
    Mode(Box<Arguments>),
}

/// The words of a mode.
#[derive(Debug)]
pub struct Arguments {
    /// One of [`MODES`].
    pub mode: String,
    /// What follows it: `print-config CLIENT MODE`, `cache clear`.
    pub rest: Vec<String>,
    /// The address to listen on.
    pub host: String,
    /// The port to listen on.
    pub port: u16,
    /// workerd processes at most.
    pub processes: Option<usize>,
    /// The settings, by name.
    pub settings: HashMap<String, String>,
    /// How it is logged.
    pub log: Log,
}

/// Reads the words, without the program's own name.
///
/// # Errors
/// Says which is wrong.
pub fn read(words: &[OsString]) -> Result<Asked, String> {
    let matches = match grammar().try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) => return Err(wrong(&error)),
    };
    if matches.get_flag("help") {
        return Ok(Asked::Help);
    }
    if matches.get_flag("version") {
        return Ok(Asked::Version);
    }
    let mut words = matches.get_many::<String>("words").unwrap_or_default();
    let mode = words.next().ok_or("Mode is required")?;
    if !MODES.contains(&mode.as_str()) {
        return Err(format!("argument mode: invalid choice: '{mode}' (choose from {})", MODES.join(", ")));
    }
    let mut rest: Vec<&str> = words.map(String::as_str).collect();
    let takes = match (mode.as_str(), rest.first()) {
        ("print-config", _) => 2.min(rest.len()),
        ("cache", Some(&"clear")) => 1,
        ("fetch", Some(_)) => rest.len(),
        ("fetch", None) => return Err("fetch needs the names of packages".to_owned()),
        _ => 0,
    };
    let unknown = rest.split_off(takes);
    if !unknown.is_empty() {
        return Err(format!("unrecognized arguments: {}", unknown.join(" ")));
    }
    Ok(Asked::Mode(Box::new(Arguments {
        rest: rest.iter().map(|word| (*word).to_owned()).collect(),
        host: text(&matches, "host").unwrap_or("127.0.0.1").to_owned(),
        port: whole(&matches, "port", 0, u16::MAX.into())?.and_then(|port| port.try_into().ok()).unwrap_or(3001),
        processes: whole(&matches, "processes", 1, 256)?,
        settings: settings(&matches, mode, &rest)?,
        log: Log {
            verbose: matches.get_flag("verbose"),
            json: one_of(&matches, "log-format", &["text", "json"])? == Some("json"),
        },
        mode: mode.clone(),
    })))
}

/// Every option may stand once or several times, the last of which counts, in any place.
fn grammar() -> Command {
    let option = |name: &'static str| Arg::new(name).long(name).overrides_with(name);
    let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).overrides_with(name);
    Command::new("mcp-run-python")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(flag("help").short('h'))
        .args(["version", "disable-networking", "verbose"].map(flag))
        .args(["port", "host", "files", "return-mode", "time-limit", "processes", "log-format"].map(option))
        .arg(option("deps").alias("dependencies"))
        .arg(Arg::new("set").long("set").action(ArgAction::Append))
        .arg(Arg::new("words").num_args(0..))
}

/// What is wrong, in a line.
fn wrong(error: &clap::Error) -> String {
    use clap::error::{ContextKind, ContextValue};
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument.split_whitespace().next().unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    match error.kind() {
        ErrorKind::UnknownArgument => format!("Unknown option '{argument}'"),
        ErrorKind::InvalidUtf8 => "arguments must be UTF-8".to_owned(),
        ErrorKind::InvalidValue | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            format!("Option '{argument} <value>' argument missing")
        }
        ErrorKind::TooManyValues => format!("Option '{argument}' does not take an argument"),
        _ => error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    }
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    matches.get_one::<String>(name).map(String::as_str)
}

fn whole(matches: &ArgMatches, name: &str, least: usize, most: usize) -> Result<Option<usize>, String> {
    let Some(text) = text(matches, name) else { return Ok(None) };
    let digits = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && (least..=most).contains(number));
    number.map(Some).ok_or_else(|| format!("argument --{name}: '{text}' is no whole number from {least} to {most}"))
}

fn one_of<'a>(matches: &'a ArgMatches, name: &str, choices: &[&str]) -> Result<Option<&'a str>, String> {
    match text(matches, name) {
        Some(text) if !choices.contains(&text) => {
            Err(format!("argument --{name}: invalid choice: '{text}' (choose from {})", choices.join(", ")))
        }
        text => Ok(text),
    }
}

/// All that are settings, by their names.
fn settings(matches: &ArgMatches, mode: &str, rest: &[&str]) -> Result<HashMap<String, String>, String> {
    let mut settings = HashMap::new();
    let mut set = |name: &str, value: &str| settings.insert(name.to_owned(), value.to_owned());
    if let Some(mode) = one_of(matches, "return-mode", &["xml", "json"])? {
        set("RETURN_MODE", mode);
    }
    for (option, name) in [("time-limit", "TIME_LIMIT_SECONDS"), ("deps", "DEPENDENCIES"), ("files", "FILES")] {
        if let Some(value) = text(matches, option) {
            set(name, value);
        }
    }
    if mode == "fetch" {
        let more = text(matches, "deps").into_iter().chain(rest.iter().copied());
        set("DEPENDENCIES", &more.collect::<Vec<_>>().join(","));
    }
    if mode == "streamable-http-stateless" {
        set("LEGACY_SESSIONS", "false");
    }
    for text in matches.get_many::<String>("set").unwrap_or_default() {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| {
                name.starts_with(|first: char| first.is_ascii_uppercase())
                    && name.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_')
            })
            .ok_or_else(|| format!("argument --set: '{text}' must be NAME=VALUE"))?;
        set(name, value);
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &str) -> Result<Asked, String> {
        read(&words.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    fn arguments(words: &str) -> Arguments {
        match of(words) {
            Ok(Asked::Mode(arguments)) => *arguments,
            other => panic!("{words}: {other:?}"),
        }
    }

    #[test]
    fn options_stand_anywhere_and_the_last_counts() {
        let read = arguments("--port 1 stdio --deps numpy,pandas --port=0 --set A_1=b=c --verbose --log-format json");
        assert_eq!((read.mode.as_str(), read.port, read.log.verbose, read.log.json), ("stdio", 0, true, true));
        assert_eq!(read.settings["DEPENDENCIES"], "numpy,pandas");
        assert_eq!(read.settings["A_1"], "b=c");
        assert_eq!(arguments("--dependencies six stdio").settings["DEPENDENCIES"], "six");
        assert_eq!(arguments("--files a/b stdio").settings["FILES"], "a/b");
        assert_eq!(arguments("streamable-http-stateless").settings["LEGACY_SESSIONS"], "false");
        assert_eq!(arguments("print-config claude").rest, ["claude"]);
        assert_eq!(arguments("print-config cursor streamable-http").rest, ["cursor", "streamable-http"]);
        assert_eq!(arguments("cache clear").rest, ["clear"]);
        assert_eq!(arguments("fetch numpy>=2 pandas --deps six").settings["DEPENDENCIES"], "six,numpy>=2,pandas");
    }

    #[test]
    fn wrong_words_are_named() {
        for (words, why) in [
            ("", "Mode is required"),
            ("nonsense", "argument mode: invalid choice: 'nonsense'"),
            ("stdio more", "unrecognized arguments: more"),
            ("cache all", "unrecognized arguments: all"),
            ("fetch", "fetch needs the names of packages"),
            ("print-config cursor stdio more", "unrecognized arguments: more"),
            ("--nonsense stdio", "Unknown option '--nonsense'"),
            ("stdio --port", "Option '--port <value>' argument missing"),
            ("--port x stdio", "argument --port: 'x' is no whole number from 0 to 65535"),
            ("--port +1 stdio", "argument --port: '+1' is no whole number"),
            ("--processes 0 stdio", "argument --processes: '0' is no whole number from 1 to 256"),
            ("--return-mode yaml stdio", "'yaml' (choose from xml, json)"),
            ("--set nonsense stdio", "argument --set: 'nonsense' must be NAME=VALUE"),
            ("--set a=b stdio", "must be NAME=VALUE"),
        ] {
            let said = of(words).expect_err(words);
            assert!(said.contains(why), "{words}: {said}");
        }
    }
}
