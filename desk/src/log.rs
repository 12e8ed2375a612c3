//! The command's messages, on stderr: as text for people, or as JSON for machines. stdout belongs to the protocol.

use std::{fmt::Display, io::Write, time::SystemTime};

use serde_json::json;

/// Writes messages for people, in the form that was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    /// Whether messages of `debug` are written.
    pub verbose: bool,
    /// Whether they are JSON, one object per line.
    pub json: bool,
}

impl Log {
    /// A message that `--verbose` shows.
    pub fn debug(self, text: impl Display) {
        if self.verbose {
            self.write("debug", &text);
        }
    }

    /// A message that is always shown.
    pub fn info(self, text: impl Display) {
        self.write("info", &text);
    }

    /// Something went wrong, and the program goes on.
    pub fn warning(self, text: impl Display) {
        self.write("warning", &text);
    }

    /// Something failed.
    pub fn error(self, text: impl Display) {
        self.write("error", &text);
    }

    fn write(self, level: &str, text: &dyn Display) {
        let line = if self.json {
            let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
            json!({ "time": time, "level": level, "message": text.to_string() }).to_string()
        } else if level == "info" {
            text.to_string()
        } else {
            format!("{level}: {text}")
        };
        // If stderr is closed, nobody wants to read it.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}
