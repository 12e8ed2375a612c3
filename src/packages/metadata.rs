//! A wheel's core metadata: what it requires.

use pep440_rs::VersionSpecifiers;
use pep508_rs::{ExtraName, MarkerEnvironment, PackageName};

use super::requirement::{self, Requirement};
use crate::limits::MAX_DEPENDENCIES;

/// The content of a `METADATA` file.
#[derive(Debug, Default)]
pub struct Metadata {
    requires: Vec<Requirement>,
    /// Versions of Python that it is for.
    pub requires_python: Option<VersionSpecifiers>,
    /// The extras that it has.
    pub extras: Vec<ExtraName>,
}

impl Metadata {
    /// Reads the header of a `METADATA` file.
    ///
    /// # Errors
    /// Says what is wrong with it. An invalid requirement is an error, or it would be left out silently.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut metadata = Self::default();
        for line in text.lines().take_while(|line| !line.is_empty()) {
            let Some((field, value)) = line.split_once(':') else { continue };
            match field.to_ascii_lowercase().as_str() {
                "requires-dist" => {
                    if metadata.requires.len() >= MAX_DEPENDENCIES {
                        return Err(format!("it has more than {MAX_DEPENDENCIES} dependencies"));
                    }
                    match requirement::parse(value) {
                        Ok(requirement) => metadata.requires.push(requirement),
                        // Old projects have invalid requirements in extras: nobody needs those.
                        Err(_) if value.contains("extra ==") => {}
                        Err(why) => return Err(why),
                    }
                }
                // Old projects have invalid specifiers, such as `>=3.6.*`: no constraint then.
                "requires-python" => metadata.requires_python = value.trim().parse().ok(),
                "provides-extra" => metadata.extras.extend(ExtraName::new(value.trim().to_owned())),
                _ => {}
            }
        }
        Ok(metadata)
    }

    /// The names of all that it may require: on any platform, and for any extra.
    pub fn names(&self) -> impl Iterator<Item = &PackageName> {
        self.requires.iter().map(|requirement| &requirement.name)
    }

    /// Its requirements in `environment`: those without an extra, or those that `extra` adds.
    pub fn requires<'a>(
        &'a self,
        environment: &'a MarkerEnvironment,
        extra: Option<&'a ExtraName>,
    ) -> impl Iterator<Item = &'a Requirement> {
        self.requires.iter().filter(move |requirement| {
            let always = requirement.evaluate_markers(environment, &[]);
            match extra {
                None => always,
                Some(extra) => !always && requirement.evaluate_markers(environment, std::slice::from_ref(extra)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_depend_on_platform_and_extra() {
        let text = "Metadata-Version: 2.4\nName: a\nVersion: 1\nRequires-Python: >=3.9\nProvides-Extra: email\r\n\
                    Requires-Dist: b>=1\nRequires-Dist: c; sys_platform == 'win32'\n\
                    Requires-Dist: d>2; extra == 'email'\n\nRequires-Dist: no\n";
        let metadata = Metadata::parse(text).unwrap();
        let environment = requirement::environment("3.14.0").unwrap();
        let email = ExtraName::new("email".into()).unwrap();
        let names = |extra| -> Vec<String> {
            metadata.requires(&environment, extra).map(|requirement| requirement.name.to_string()).collect()
        };
        assert_eq!(names(None), ["b"]);
        assert_eq!(names(Some(&email)), ["d"]);
        assert_eq!(metadata.extras, [email]);
        assert!(metadata.requires_python.is_some());
    }

    #[test]
    fn what_cannot_be_required_is_an_error() {
        assert!(Metadata::parse("Requires-Dist: =").unwrap_err().contains("`=`"));
        assert!(Metadata::parse("Requires-Dist: a (>=3.*); extra == 'x'").is_ok());
        assert!(Metadata::parse(&"Requires-Dist: a\n".repeat(MAX_DEPENDENCIES + 1)).is_err());
        assert!(Metadata::parse("Requires-Python: >=3.6.*").unwrap().requires_python.is_none());
    }
}
