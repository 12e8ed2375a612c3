use std::{collections::HashSet, fmt::Write, fs, path::PathBuf};

use super::*;

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap()
}

/// The values of a setting, for people.
fn kind(setting: &Setting) -> String {
    let words = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
    match setting.kind {
        Kind::Count { unit: Unit::One, most: Some(most), .. } => format!("up to {most}"),
        Kind::Count { unit, .. } => unit.name().to_owned(),
        Kind::Time { units, .. } => units.to_owned(),
        Kind::Word(choices) => words(choices),
        Kind::Text(what) => what.to_owned(),
    }
}

fn value(value: &str) -> String {
    if value.is_empty() { "empty".into() } else { format!("`{value}`") }
}

/// The tables of `docs/settings.md`.
fn tables() -> String {
    let mut text = String::new();
    for (heading, settings) in SETTINGS {
        let _ = write!(text, "## {heading}\n\n| Name | Value | Default | |\n|---|---|---|---|\n");
        for setting in *settings {
            let mut default = value(setting.default);
            for (home, other) in setting.defaults {
                let _ = write!(default, "; {}: {}", home.name(), value(other));
            }
            let homes: Vec<_> = setting.homes.iter().map(|home| home.name()).collect();
            let only = if setting.homes.len() == EVERYWHERE.len() {
                String::new()
            } else {
                format!(" Only {}.", homes.join(" and "))
            };
            let _ = writeln!(text, "| `{}` | {} | {default} | {}{only} |", setting.name, kind(setting), setting.about);
        }
        text.push('\n');
    }
    text
}

/// The variables of a deployed worker, of `wrangler.jsonc`.
fn variables() -> String {
    const WIDTH: usize = 110;
    let mut text = String::from("\"vars\": {\n");
    let comment = |text: &mut String, words: &str| {
        let mut line = String::from("    //");
        for word in words.split_whitespace() {
            if line.len() + word.len() > WIDTH {
                let _ = writeln!(text, "{line}");
                line.truncate("    //".len());
            }
            let _ = write!(line, " {word}");
        }
        let _ = writeln!(text, "{line}");
    };
    for (heading, settings) in SETTINGS {
        comment(&mut text, &format!("--- {heading} ---"));
        for setting in settings.iter().filter(|setting| setting.homes.contains(&Worker)) {
            let kind = kind(setting);
            let unit = if kind.is_empty() { kind } else { format!("({kind}) ") };
            let about = setting.about.replace("[packages.md](packages.md)", "docs/packages.md");
            // A secret is not among the variables.
            let secret = setting.name == "ACCESS_TOKENS";
            let name = if secret { "ACCESS_TOKENS: " } else { "" };
            comment(&mut text, &format!("{name}{unit}{about}"));
            if !secret {
                let _ = writeln!(text, "    \"{}\": \"{}\",", setting.name, setting.default_in(Worker));
            }
        }
    }
    format!("{}\n  }}", text.trim_end_matches([',', '\n']))
}

/// The limits of the library for JavaScript, for its types.
fn types() -> String {
    let mut text = String::from("export interface Limits {\n");
    let numbers = |setting: &&Setting| matches!(setting.kind, Kind::Count { .. } | Kind::Time { .. });
    for setting in all().filter(|setting| setting.homes.contains(&Page)).filter(numbers) {
        let mut words = setting.name.split('_').map(str::to_lowercase);
        let first = words.next().unwrap();
        let member = words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..]);
        let unit = kind(setting);
        let unit = if unit.is_empty() { unit } else { format!(" In {unit}.") };
        let _ = writeln!(text, "  /** {}{unit} */\n  {member}?: number;", setting.about);
    }
    text + "}\n"
}

/// With `WRITE_SETTINGS=1`, rewrites the text between two markers of a file; else asserts that it is as expected.
fn compare(path: &str, from: &str, to: &str, expected: &str) {
    let whole = text(path);
    let start = whole.find(from).unwrap();
    let end = start + whole[start..].find(to).unwrap();
    if std::env::var_os("WRITE_SETTINGS").is_some() {
        fs::write(file(path), format!("{}{expected}{}", &whole[..start], &whole[end..])).unwrap();
    } else {
        assert_eq!(&whole[start..end], expected, "{path}: write it with `WRITE_SETTINGS=1 cargo test --lib settings`");
    }
}

#[test]
fn the_documents_have_all_settings() {
    compare("docs/settings.md", "## Limits of a run\n", "Fixed limits", &tables());
}

#[test]
fn a_deployed_worker_says_what_each_variable_is_for() {
    compare("worker/wrangler.jsonc", "\"vars\": {\n", "\n}\n", &variables());
}

#[test]
fn javascript_has_types_of_all_limits() {
    compare("www/js/index.d.ts", "export interface Limits {\n", "\n/** How to make a sandbox. */", &types());
}

#[test]
fn a_deployed_worker_has_a_variable_for_each_and_the_command_sets_what_differs_from_it() {
    // The file has these variables: the test above compares them.
    let configuration = format!("{{ {} }}", variables());
    let configuration: serde_json::Value =
        jsonc_parser::parse_to_serde_value(&configuration, &jsonc_parser::ParseOptions::default()).unwrap();
    let mut variables = configuration["vars"].as_object().unwrap().clone();
    let local = text("xtask/src/dev.rs");
    let local = &local[local.find("const LOCAL:").unwrap()..];
    let local = &local[..local.find("];").unwrap()];
    for setting in all() {
        let deployed = setting.default_in(Worker);
        // A secret is not among the variables.
        let has = setting.homes.contains(&Worker) && setting.name != "ACCESS_TOKENS";
        let variable = variables.remove(setting.name);
        assert_eq!(variable, has.then(|| deployed.into()), "wrangler.jsonc: {}", setting.name);
        // An empty variable means the general default.
        let differs = setting.default_in(Dev) != deployed;
        let set = format!("(\"{}\", \"", setting.name);
        assert_eq!(local.contains(&set), differs, "xtask/src/dev.rs: {set}");
        if differs {
            let [empty, named] = ["", setting.default_in(Dev)].map(|value| format!("{set}{value}\")"));
            assert!(
                local.contains(&named) || (local.contains(&empty) && setting.default_in(Dev) == setting.default),
                "{named}"
            );
        }
    }
    assert!(variables.is_empty(), "wrangler.jsonc has what is no setting: {variables:?}");
}

#[test]
fn each_name_is_there_once_and_is_a_name() {
    let names: Vec<_> = all().map(|setting| setting.name).collect();
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    assert!(names.len() > 40 && names.iter().all(|name| name.bytes().all(|c| c.is_ascii_uppercase() || c == b'_')));
    for setting in all() {
        assert!(setting.about.ends_with('.') && !setting.about.contains('|'), "{}", setting.name);
    }
}
