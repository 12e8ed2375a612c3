//! The PEP 723 block in which a script names its requirements.

use pep440_rs::{Version, VersionSpecifiers};
use serde::Deserialize;

use super::requirement::{self, Requirement};
use crate::limits::MAX_SCRIPT_REQUIREMENTS;

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    #[serde(default)]
    dependencies: Vec<String>,
    requires_python: Option<String>,
}

/// The requirements of the code's `# /// script` block; none, if it has no block.
///
/// # Errors
/// Says what is wrong with the block, or that it requires another Python.
pub fn requirements(code: &str, python: &Version) -> Result<Vec<Requirement>, String> {
    let Some(text) = block(code)? else { return Ok(Vec::new()) };
    let metadata: Metadata =
        toml::from_str(&text).map_err(|error| format!("the script block is not valid TOML: {}", error.message()))?;
    if let Some(required) = metadata.requires_python {
        let versions: VersionSpecifiers = required
            .parse()
            .map_err(|_| format!("the script block's requires-python is `{required}`, which are no versions"))?;
        if !versions.contains(python) {
            return Err(format!("the script block requires Python {required}, and this is Python {python}"));
        }
    }
    let count = metadata.dependencies.len();
    if count > MAX_SCRIPT_REQUIREMENTS {
        return Err(format!(
            "the script block has {count} dependencies, and at most {MAX_SCRIPT_REQUIREMENTS} are taken"
        ));
    }
    let parsed = metadata.dependencies.iter().map(|text| requirement::parse(text));
    parsed.collect::<Result<_, _>>().map_err(|error| format!("in the script block, {error}"))
}

/// The text of the block, as the PEP's reference implementation finds it: from `# /// script` to the last `# ///`
/// of the comment lines that follow.
fn block(code: &str) -> Result<Option<String>, String> {
    let mut found = None;
    let mut lines = code.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    while let Some(line) = lines.next() {
        if kind(line) != Some("script") {
            continue;
        }
        let comments = lines.clone().take_while(|line| *line == "#" || line.starts_with("# "));
        let comments: Vec<&str> = comments.collect();
        let Some(end) = comments.iter().rposition(|line| *line == "# ///") else { continue };
        if found.is_some() {
            return Err("the code has more than one script block".into());
        }
        let content = comments.iter().take(end).map(|line| line.get(2..).unwrap_or_default());
        found = Some(content.collect::<Vec<_>>().join("\n"));
        lines.nth(end);
    }
    Ok(found)
}

fn kind(line: &str) -> Option<&str> {
    let kind = line.strip_prefix("# /// ")?;
    kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-').then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(code: &str) -> Result<Vec<String>, String> {
        let found = requirements(code, &Version::new([3, 14, 0]))?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn dependencies_are_read() {
        let code = "#!x\n# /// script\r\n# requires-python = \">=3.11\"\r\n# dependencies = [\n#   \"rich<15\",\n#\n#   \
                    \"pydantic[email]; python_version>'3'\",\n# ]\n# [tool.x]\n# y = 1\n# ///\nimport os\n";
        assert_eq!(read(code).unwrap(), ["rich<15", "pydantic[email] ; python_full_version >= '3.1'"]);
    }

    #[test]
    fn what_is_no_block_is_none() {
        for code in [
            "",
            "x = 1\n# /// scripts\n# dependencies = ['a']\n# ///",
            "# /// script\n# dependencies = ['a']\n",
            "# /// script\ndependencies = ['a']\n# ///",
            "# ///script\n# dependencies = ['a']\n# ///",
            "# /// script\n# ///",
        ] {
            assert_eq!(read(code), Ok(vec![]), "{code}");
        }
    }

    #[test]
    fn a_wrong_block_is_an_error_that_says_why() {
        for (code, expected) in [
            ("# /// script\n# dependencies = ['a'\n# ///", "not valid TOML"),
            ("# /// script\n# dependencies = 3\n# ///", "not valid TOML"),
            ("# /// script\n# dependencies = ['=']\n# ///", "`=` is not a requirement"),
            ("# /// script\n# requires-python = '>=3.15'\n# ///", "requires Python >=3.15, and this is Python 3.14.0"),
            ("# /// script\n# requires-python = 'new'\n# ///", "requires-python is `new`"),
            ("# /// script\n# ///\n\n# /// script\n# ///", "more than one"),
        ] {
            let error = read(code).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let many = format!("# /// script\n# dependencies = [{}]\n# ///", "'a',".repeat(MAX_SCRIPT_REQUIREMENTS + 1));
        assert!(read(&many).unwrap_err().contains(&MAX_SCRIPT_REQUIREMENTS.to_string()));
    }
}
