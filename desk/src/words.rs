//! The modes and options of the command line. `--help`, the manual and shell completions are made from these tables.

use clap::{Arg, ArgAction, Command, builder::PossibleValuesParser};
use clap_complete::Shell;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use crate::{command::VERSION, print_config};

/// Describes the command in one line.
pub const ABOUT: &str = "MCP server for running untrusted Python code";

/// The shells for which there are completions.
const SHELLS: [&str; 4] = ["bash", "fish", "powershell", "zsh"];

/// How wide `--help` is.
const WIDTH: usize = 100;

/// A mode, such as `stdio`: the first argument.
pub struct Mode {
    /// Its name.
    pub name: &'static str,
    /// Its operands as help shows them (`[WORD]` is optional, `WORD...` may be several), each with the values that it can
    /// have, if they are known.
    operands: &'static [(&'static str, &'static [&'static str])],
    does: &'static str,
}

/// The modes.
pub const MODES: &[Mode] = &[
    Mode { name: "stdio", operands: &[], does: "MCP over stdin and stdout: what desktop clients start" },
    Mode { name: "streamable-http", operands: &[], does: "MCP over HTTP, with sessions, at http://127.0.0.1:3001/mcp" },
    Mode { name: "streamable-http-stateless", operands: &[], does: "the same without sessions" },
    Mode { name: "example", operands: &[], does: "runs a short program that needs numpy, and prints the result" },
    Mode {
        name: "print-config",
        operands: &[("CLIENT", &print_config::NAMES), ("[MODE]", &print_config::MODES)],
        does: "prints what to put into a client's configuration, and the links that do it; without CLIENT, which there are",
    },
    Mode {
        name: "fetch",
        operands: &[("REQUIREMENT...", &[])],
        does: "fetches packages and what they need, and makes their first import quick: for when there is no network",
    },
    Mode {
        name: "cache",
        operands: &[("[clear]", &["clear"])],
        does: "shows what packages take on the disk, or deletes them",
    },
    Mode {
        name: "doctor",
        operands: &[],
        does: "says what confines Python on this machine, and what a missing piece costs",
    },
    Mode {
        name: "completions",
        operands: &[("SHELL", &SHELLS)],
        does: "prints what bash, fish, powershell or zsh complete of this command",
    },
    Mode { name: MANUAL, operands: &[], does: "" },
];

/// The mode that prints the manual, for those who package the program. Help does not list it.
pub const MANUAL: &str = "man";

/// An option.
pub struct Opt {
    /// Its name, without dashes.
    pub name: &'static str,
    /// Its value as help shows it; empty, if it has none.
    pub value: &'static str,
    choices: &'static [&'static str],
    does: &'static str,
}

const fn option(name: &'static str, value: &'static str, does: &'static str) -> Opt {
    Opt { name, value, choices: &[], does }
}

/// The options, in the order of `--help`.
pub const OPTIONS: &[Opt] = &[
    option("help", "", "show this help and exit"),
    option("version", "", "show the version and exit"),
    option("port", "PORT", "port of the HTTP server [3001]; 0 chooses a free one"),
    option("host", "ADDRESS", "address that the HTTP server listens on [127.0.0.1]"),
    option("deps", "LIST", "packages to install, separated by commas"),
    Opt { choices: &["xml", "json"], ..option("return-mode", "xml|json", "how the text of results is written [xml]") },
    option("files", "DIR", "a folder whose files programs can read, in data/"),
    option("time-limit", "SECONDS", "wall-clock limit of a run [60]"),
    option("processes", "N", "workerd processes at most [the cores, at least 2]"),
    option("set", "NAME=VALUE", "any other setting of docs/settings.md, for example SESSION_IDLE_SECONDS=600"),
    option("url", "URL", "of print-config: the address of a server that runs already"),
    option("disable-networking", "", "for the original's sake: Python has no network anyway"),
    option("verbose", "", "say more, on stderr"),
    Opt { choices: &["text", "json"], ..option("log-format", "text|json", "how that is written [text]") },
];

impl Opt {
    /// Its clap argument. It may be given several times: the last one counts, but settings (`--set`) add up.
    pub fn argument(&self) -> Arg {
        let argument = Arg::new(self.name).long(self.name);
        match self.name {
            "help" => argument.short('h').action(ArgAction::SetTrue).overrides_with(self.name),
            "set" => argument.action(ArgAction::Append),
            "deps" => argument.visible_alias("dependencies").overrides_with(self.name),
            _ if self.value.is_empty() => argument.action(ArgAction::SetTrue).overrides_with(self.name),
            _ => argument.overrides_with(self.name),
        }
    }

    /// Its names and its value, as `--help` shows them.
    fn shown(&self) -> String {
        let names = match self.name {
            "help" => "-h, --help".to_owned(),
            "deps" => "--deps, --dependencies".to_owned(),
            name => format!("--{name}"),
        };
        format!("{names} {}", self.value).trim_end().to_owned()
    }
}

/// The modes that `--help` lists.
pub fn modes() -> impl Iterator<Item = &'static Mode> {
    MODES.iter().filter(|mode| mode.name != MANUAL)
}

impl Mode {
    fn shown(&self) -> String {
        let words = std::iter::once(self.name).chain(self.operands.iter().map(|(shown, _)| *shown));
        words.collect::<Vec<_>>().join(" ")
    }
}

/// The tables of modes and options in `--help`.
pub fn tables() -> String {
    let mut text = "modes:\n".to_owned();
    for mode in modes() {
        entry(&mut text, &mode.shown(), 27, mode.does);
    }
    text += "\noptions:\n";
    for option in OPTIONS {
        entry(&mut text, &option.shown(), 23, option.does);
    }
    text
}

/// Adds an entry of a table, in one line or several.
fn entry(text: &mut String, left: &str, column: usize, right: &str) {
    let mut line = format!("  {left:column$}");
    if left.len() >= column {
        *text += line.trim_end();
        *text += "\n";
        line = " ".repeat(column + 2);
    }
    for word in right.split(' ') {
        if line.len() + word.len() > WIDTH {
            *text += line.trim_end();
            *text += "\n";
            line = " ".repeat(column + 2);
        }
        line += word;
        line += " ";
    }
    *text += line.trim_end();
    *text += "\n";
}

/// The command line as a grammar of subcommands, only for completions and the manual: the parser itself also allows
/// options before the mode.
fn told() -> Command {
    let choices = |argument: Arg, choices: &'static [&'static str]| match choices {
        [] => argument,
        choices => argument.value_parser(PossibleValuesParser::new(choices)),
    };
    let options = OPTIONS.iter().map(|option| {
        let argument = choices(option.argument(), option.choices).help(option.does).global(true);
        match option.value {
            "" => argument,
            // The value's name lists the possible values already.
            value => argument.value_name(value).hide_possible_values(true),
        }
    });
    let commands = modes().map(|mode| {
        let operands = mode.operands.iter().map(|(shown, known)| {
            let argument = Arg::new(shown.trim_matches(['[', ']', '.'])).required(!shown.starts_with('['));
            let argument = if shown.ends_with("...") { argument.num_args(1..) } else { argument };
            choices(argument, known)
        });
        Command::new(mode.name).about(mode.does).args(operands)
    });
    Command::new("mcp-run-python")
        .about(ABOUT)
        .version(VERSION)
        .override_usage("mcp-run-python [options] mode")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args(options)
        .subcommands(commands)
}

/// The completion script of a shell.
///
/// # Errors
/// There is no such shell.
pub fn completions(shell: &str) -> Result<String, String> {
    let known: Option<Shell> = SHELLS.contains(&shell).then(|| shell.parse().ok()).flatten();
    let unknown = || format!("argument completions: there is no shell '{shell}'; there are: {}", SHELLS.join(", "));
    let mut text = Vec::new();
    clap_complete::generate(known.ok_or_else(unknown)?, &mut told(), "mcp-run-python", &mut text);
    // In bash's script, clap_complete 4.6 has two names for a command with dashes.
    Ok(String::from_utf8_lossy(&text).replace("mcp__subcmd__run__subcmd__python", "mcp__run__python"))
}

/// The manual, as roff for `man`.
///
/// # Errors
/// None in practice: it is written into memory.
pub fn manual() -> Result<String, String> {
    let mut text = Vec::new();
    let page = Man::new(told()).manual("mcp-run-python");
    let mut own = Roff::new();
    own.control("SH", ["MODES"]);
    for mode in modes() {
        own.control("TP", []).text([bold(mode.shown())]).text([roman(mode.does)]);
    }
    own.control("SH", ["ENVIRONMENT"]);
    for (name, what) in [
        ("MCP_RUN_PYTHON_CACHE", "the folder of packages and of snapshots of interpreters [~/.cache/mcp-run-python]"),
        ("MCP_RUN_PYTHON_HOME", "the folder with workerd and what Python is made of [the program's own]"),
        ("MCP_RUN_PYTHON_WORKERD", "workerd, if it is not in that folder"),
    ] {
        own.control("TP", []).text([bold(name)]).text([roman(what)]);
    }
    own.control("SH", ["EXAMPLES"]);
    for words in ["stdio", "--port 8000 --deps numpy,pandas streamable-http", "print-config cursor", "fetch pandas"] {
        own.control("PP", []).text([bold(format!("mcp-run-python {words}"))]);
    }
    own.control("SH", ["EXIT STATUS"]);
    own.text([roman("0, 1 if what was asked for could not be done, 2 if the words were wrong.")]);
    let written = page
        .render_title(&mut text)
        .and_then(|()| page.render_name_section(&mut text))
        .and_then(|()| page.render_synopsis_section(&mut text))
        .and_then(|()| page.render_description_section(&mut text))
        .and_then(|()| page.render_options_section(&mut text))
        .and_then(|()| own.to_writer(&mut text));
    written.map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_a_grammar() {
        told().debug_assert();
        for shell in SHELLS {
            let text = completions(shell).unwrap();
            for mode in modes() {
                assert!(text.contains(mode.name), "{shell}: {}", mode.name);
            }
            assert!(!text.contains("--man"), "{shell}");
        }
        assert!(completions("tcsh").unwrap_err().contains("there is no shell 'tcsh'; there are: bash, fish"));
        assert!(completions("elvish").is_err());
    }

    #[test]
    fn tables_have_all_words_and_are_no_wider_than_a_terminal() {
        let text = tables();
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        for name in modes().map(|mode| mode.name).chain(OPTIONS.iter().map(|option| option.name)) {
            assert!(text.contains(name), "{name}");
        }
        assert!(!text.contains(&format!("  {MANUAL} ")));
    }
}
