//! The command line: the original's modes and options, and ours.

use std::{collections::HashMap, ffi::OsString};

use clap::{Arg, ArgMatches, Command, error::ErrorKind};

use crate::{
    log::Log,
    words::{ABOUT, MODES, OPTIONS, modes, tables},
};

/// The version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The names of the modes, joined by `between`.
fn names(between: &str) -> String {
    modes().map(|mode| mode.name).collect::<Vec<_>>().join(between)
}

/// The usage line, which comes before an error about wrong arguments.
pub fn usage() -> String {
    format!("usage: mcp-run-python [-h] [--version] [options] {{{}}}", names(","))
}

/// The text of `--help`.
pub fn help() -> String {
    let usage = usage();
    format!("{usage}\n\nmcp-run-python v{VERSION}\n\n{ABOUT}.\n\n{}", tables())
}

/// The request in the command line.
#[derive(Debug)]
pub enum Asked {
    /// `--help`.
    Help,
    /// `--version`.
    Version,
    /// One of the modes.
    Mode(Box<Arguments>),
}

/// A mode with its arguments.
#[derive(Debug)]
pub struct Arguments {
    /// One of [`MODES`].
    pub mode: String,
    /// The words after it: `CLIENT MODE` of `print-config`, `clear` of `cache`.
    pub rest: Vec<String>,
    /// The options, written as words again; without `--url`, which is for `print-config` alone.
    pub options: Vec<String>,
    /// The address of a server that runs already.
    pub url: Option<String>,
    /// The address to listen on.
    pub host: String,
    /// The port to listen on.
    pub port: u16,
    /// Most workerd processes.
    pub processes: Option<usize>,
    /// The settings, by name.
    pub settings: HashMap<String, String>,
    /// How messages are written.
    pub log: Log,
}

/// Parses the command line, without the program's own name.
///
/// # Errors
/// Says which word is wrong.
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
    if !MODES.iter().any(|known| known.name == mode) {
        return Err(format!("argument mode: invalid choice: '{mode}' (choose from {})", names(", ")));
    }
    let mut rest: Vec<&str> = words.map(String::as_str).collect();
    let takes = match (mode.as_str(), rest.first()) {
        ("print-config", _) => 2.min(rest.len()),
        ("cache", Some(&"clear")) => 1,
        ("fetch", Some(_)) => rest.len(),
        ("fetch", None) => return Err("fetch needs the names of packages".to_owned()),
        ("completions", Some(_)) => 1,
        ("completions", None) => return Err("completions needs the name of a shell".to_owned()),
        _ => 0,
    };
    let unknown = rest.split_off(takes);
    if !unknown.is_empty() {
        return Err(format!("unrecognized arguments: {}", unknown.join(" ")));
    }
    let url = text(&matches, "url").map(str::to_owned);
    if url.is_some() && mode != "print-config" {
        return Err("argument --url: it is for print-config".to_owned());
    }
    Ok(Asked::Mode(Box::new(Arguments {
        rest: rest.iter().map(|word| (*word).to_owned()).collect(),
        options: options(&matches),
        url,
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

/// The grammar. Options may stand before and after the mode.
fn grammar() -> Command {
    Command::new("mcp-run-python")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(OPTIONS.iter().map(|option| option.argument()))
        .arg(Arg::new("words").num_args(0..))
}

/// The options that were given, in the order of the table.
fn options(matches: &ArgMatches) -> Vec<String> {
    let mut words = Vec::new();
    for option in OPTIONS.iter().filter(|option| option.name != "url") {
        let dashed = format!("--{}", option.name);
        if option.value.is_empty() {
            words.extend(matches.get_flag(option.name).then_some(dashed));
            continue;
        }
        // Only `--set` has several values; of the others, the last one counts.
        for value in matches.get_many::<String>(option.name).unwrap_or_default() {
            words.extend([dashed.clone(), value.clone()]);
        }
    }
    words
}

/// Describes an error in one line.
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

/// The options that are settings, by the settings' names.
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
    // Over stdio, the only client is whoever started the program. (The container image sets ACCESS=token in any mode.)
    if mode == "stdio" && settings.get("ACCESS").is_some_and(|access| access == "token") {
        settings.remove("ACCESS");
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
        let tokens = |mode: &str| arguments(&format!("--set ACCESS=token {mode}")).settings.contains_key("ACCESS");
        assert!(tokens("streamable-http") && !tokens("stdio"));
        assert!(arguments("--set ACCESS=nonsense stdio").settings.contains_key("ACCESS"));
        assert_eq!(arguments("print-config claude").rest, ["claude"]);
        assert_eq!(arguments("print-config cursor streamable-http").rest, ["cursor", "streamable-http"]);
        assert_eq!(arguments("cache clear").rest, ["clear"]);
        assert_eq!(arguments("completions bash").rest, ["bash"]);
        assert_eq!(arguments("fetch numpy>=2 pandas --deps six").settings["DEPENDENCIES"], "six,numpy>=2,pandas");
    }

    #[test]
    fn options_are_given_on_as_they_count() {
        let read =
            arguments("--port 1 --deps cursor print-config cursor stdio --port=2 --set A=1 --verbose --set B=stdio");
        assert_eq!(read.options, ["--port", "2", "--deps", "cursor", "--set", "A=1", "--set", "B=stdio", "--verbose"]);
        let read = arguments("print-config cursor --url https://a.example/mcp");
        assert_eq!((read.options.len(), read.url.as_deref()), (0, Some("https://a.example/mcp")));
    }

    #[test]
    fn wrong_words_are_named() {
        for (words, why) in [
            ("", "Mode is required"),
            ("nonsense", "argument mode: invalid choice: 'nonsense'"),
            ("stdio more", "unrecognized arguments: more"),
            ("cache all", "unrecognized arguments: all"),
            ("fetch", "fetch needs the names of packages"),
            ("completions", "completions needs the name of a shell"),
            ("completions bash zsh", "unrecognized arguments: zsh"),
            ("stdio --url http://a.example", "argument --url: it is for print-config"),
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
