//! The requirements of a run: from the settings, the code's script block and its imports.

use std::collections::BTreeSet;

use super::{
    imports::{self, Imports},
    lock::Lock,
    options::{PackageOptions, Source},
    requirement::{Origin, Requirement, Wanted, name_of},
    script,
};

/// The needs of one run.
#[derive(Debug, Default, Clone)]
pub struct Plan {
    /// Requirements without which the run is not started.
    pub required: Vec<Wanted>,
    /// Wishes, installed if possible: guarded imports, and modules that no lock file knows, which may be the code's
    /// own.
    pub wished: Vec<Wanted>,
    /// Notes about what could not be found out, and why.
    pub notes: Vec<String>,
}

impl Plan {
    /// Returns what this code needs, as if it also imported the module `missed`.
    ///
    /// # Errors
    /// Says what is wrong with the script block, or what may not be asked for.
    pub fn of(code: &str, missed: Option<&str>, lock: &Lock, options: &PackageOptions) -> Result<Self, String> {
        let mut plan = Self::default();
        let wanted = |origin: Origin| move |requirement: Requirement| Wanted { requirement, origin: origin.clone() };
        plan.required.extend(options.dependencies.iter().cloned().map(wanted(Origin::Settings)));
        plan.required.extend(script::requirements(code, &lock.python)?.into_iter().map(wanted(Origin::Script)));
        let mut imports = imports::imports(code).unwrap_or_else(|imports::TooDeep| {
            plan.notes.push("the code nests too deep for its imports to be read".into());
            Imports::default()
        });
        imports.modules.extend(missed.map(|module| (module.to_owned(), false)));
        let mut known: Vec<_> = plan.required.iter().map(|wanted| wanted.requirement.name.clone()).collect();
        let is_there = |module: &str| imports::is_present(module) || imports::is_stood_in(module);
        for (module, guarded) in imports.modules.into_iter().filter(|(module, _)| !is_there(module)) {
            let locked = lock.of_import(&module);
            let name = locked.cloned().or_else(|| name_of(imports::distribution(&module)));
            // A name that no distribution can have is skipped.
            let Some(name) = name else { continue };
            let is_locked = lock.get(&name).is_some();
            if known.contains(&name) || !is_locked && options.source != Source::Pypi {
                continue;
            }
            let Ok(requirement) = super::requirement::parse(name.as_ref()) else { continue };
            let top = module.split('.').next().unwrap_or(&module).to_owned();
            let wanted = Wanted { requirement, origin: Origin::Import(top) };
            if guarded || !is_locked || options.source == Source::Bundled {
                if !plan.wished.contains(&wanted) {
                    plan.wished.push(wanted);
                }
            } else {
                known.push(name);
                plan.required.push(wanted);
            }
        }
        for used in imports.uses {
            let Ok(requirement) = super::requirement::parse(used.distribution) else { continue };
            if lock.get(&requirement.name).is_some() || options.source == Source::Pypi {
                plan.wished.push(Wanted { requirement, origin: Origin::Use(used) });
            }
        }
        let mut twice = BTreeSet::new();
        plan.wished.retain(|Wanted { requirement: Requirement { name, .. }, .. }| {
            !known.contains(name) && twice.insert(name.clone())
        });
        plan.check_allowed(options)?;
        Ok(plan)
    }

    /// The same without the `unwanted`.
    #[must_use]
    pub fn without(&self, unwanted: &[&Wanted]) -> Self {
        let mut plan = self.clone();
        plan.required.retain(|wanted| !unwanted.contains(&wanted));
        plan.wished.retain(|wanted| !unwanted.contains(&wanted));
        plan
    }

    /// **Boundary.** Packages that the settings do not allow are not even looked for.
    fn check_allowed(&mut self, options: &PackageOptions) -> Result<(), String> {
        let refused = |wanted: &Wanted| {
            let name = &wanted.requirement.name;
            let asked =
                wanted.origin != Origin::Settings && !options.allowed.is_empty() && !options.allowed.contains(name);
            asked || options.denied.contains(name)
        };
        self.wished.retain(|wanted| !refused(wanted));
        match self.required.iter().find(|wanted| refused(wanted)) {
            None => Ok(()),
            Some(Wanted { requirement, origin }) => {
                let allowed: Vec<String> = options.allowed.iter().map(ToString::to_string).collect();
                let which = match allowed.as_slice() {
                    _ if options.denied.contains(&requirement.name) => String::new(),
                    [] => String::new(),
                    names => format!(" It installs: {}.", names.join(", ")),
                };
                Err(format!(
                    "Cannot install `{requirement}`, required by {origin}: this server does not install {}.{which}",
                    requirement.name
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::{lock::tests::LOCK, requirement::parse_list};

    fn plan(code: &str, options: &PackageOptions) -> Result<(Vec<String>, Vec<String>), String> {
        let plan = Plan::of(code, None, &Lock::parse(LOCK).unwrap(), options)?;
        let names = |wanted: Vec<Wanted>| wanted.iter().map(|wanted| wanted.requirement.to_string()).collect();
        Ok((names(plan.required), names(plan.wished)))
    }

    fn options(source: Source) -> PackageOptions {
        PackageOptions { source, ..PackageOptions::default() }
    }

    const CODE: &str = "# /// script\n# dependencies = ['numpy<3']\n# ///\nimport os, numpy.linalg\n\
                        from dateutil import parser\nimport cv2, js\ntry:\n  import pandas\nexcept ImportError: pass\n";

    #[test]
    fn requirements_come_from_settings_block_and_imports() {
        let mut settings = options(Source::Lock);
        settings.dependencies = parse_list("pydantic>=2").unwrap();
        let (required, wished) = plan(CODE, &settings).unwrap();
        assert_eq!(required, ["pydantic>=2", "numpy<3", "python-dateutil"]);
        assert_eq!(wished, ["pandas"]);
        let (_, wished) = plan(CODE, &options(Source::Pypi)).unwrap();
        assert_eq!(wished, ["opencv-python", "pandas"]);
        let (required, wished) = plan(CODE, &options(Source::Bundled)).unwrap();
        assert_eq!((required, wished), (vec!["numpy<3".into()], vec!["python-dateutil".into(), "pandas".into()]));
    }

    #[test]
    fn what_a_use_needs_is_wished_for_once() {
        let code = "import pandas, importlib\npandas.x.plot(); pandas.y.hist(); importlib.import_module('numpy')\n\
                    pandas.to_markdown()";
        let (required, wished) = plan(code, &options(Source::Pypi)).unwrap();
        assert_eq!(
            (required, wished),
            (vec!["pandas".into()], ["numpy", "matplotlib", "tabulate"].map(Into::into).into())
        );
        let (required, wished) = plan("import matplotlib, pandas\npandas.x.plot()", &options(Source::Pypi)).unwrap();
        assert_eq!((required, wished), (vec!["pandas".into()], vec!["matplotlib".into()]));
    }

    #[test]
    fn what_a_run_missed_is_needed_like_an_import() {
        let mut settings = options(Source::Lock);
        settings.denied = vec![name_of("numpy").unwrap()];
        let plan = |code, missed| Plan::of(code, Some(missed), &Lock::parse(LOCK).unwrap(), &settings);
        let required =
            |plan: Plan| plan.required.iter().map(|wanted| wanted.requirement.to_string()).collect::<String>();
        for code in ["1", "try:\n  import pandas\nexcept ImportError: pass"] {
            assert_eq!(required(plan(code, "pandas.io").unwrap()), "pandas", "{code}");
        }
        for module in ["os", "humanize"] {
            assert_eq!(required(plan("1", module).unwrap()), "", "{module}");
        }
        assert!(plan("1", "numpy").unwrap_err().contains("does not install numpy"));
    }

    #[test]
    fn what_is_not_allowed_is_refused_or_not_wished_for() {
        let mut settings = options(Source::Lock);
        settings.allowed = vec![name_of("numpy").unwrap()];
        let error = plan(CODE, &settings).unwrap_err();
        assert!(
            error.contains("`python-dateutil`, required by `import dateutil`") && error.contains("numpy"),
            "{error}"
        );
        let (required, wished) = plan("import numpy\ntry:\n  import pandas\nexcept: pass", &settings).unwrap();
        assert_eq!((required, wished), (vec!["numpy".into()], vec![]));
        settings.denied = vec![name_of("NumPy").unwrap()];
        let error = plan("import numpy", &settings).unwrap_err();
        assert!(error.contains("does not install numpy"), "{error}");
    }
}
