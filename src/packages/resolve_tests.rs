use std::{cell::Cell, collections::HashMap};

use futures::{FutureExt, executor::block_on};
use serde_json::json;

use super::*;
use crate::packages::{
    lock::tests::LOCK,
    requirement::{Origin, name_of, parse_list},
};

/// An index of these files, and their metadata by file name.
struct Index {
    files: HashMap<&'static str, Vec<&'static str>>,
    metadata: HashMap<&'static str, &'static str>,
    asked: Cell<usize>,
}

fn index() -> Index {
    let native = "msgspec-0.22.0-cp314-cp314-pyemscripten_2026_0_wasm32.whl";
    let files = [
        ("numpy", vec!["numpy-2.4.6-cp314-cp314-manylinux_2_27_x86_64.whl", "numpy-2.4.6.tar.gz"]),
        ("torch", vec!["torch-2.9.0-cp314-cp314-win_amd64.whl"]),
        ("msgspec", vec![native, "msgspec-0.21.0-cp314-cp314-win_amd64.whl"]),
        (
            "tabulate",
            vec![
                "tabulate-0.9.0-py3-none-any.whl",
                "tabulate-0.8.0-py3-none-any.whl",
                "tabulate-1.0rc1-py3-none-any.whl",
            ],
        ),
        ("pydantic", vec!["pydantic-2.13.0-py3-none-any.whl"]),
        ("email-validator", vec!["email_validator-2.3.0-py3-none-any.whl"]),
        ("needs-old-numpy", vec!["needs_old_numpy-1.0-py3-none-any.whl"]),
        ("one", vec!["one-1.0-py3-none-any.whl", "one-2.0-py3-none-any.whl"]),
        ("two", vec!["two-1.0-py3-none-any.whl"]),
        ("fresh", vec!["fresh-1.0b1-py3-none-any.whl"]),
        ("empty", vec![]),
    ];
    let metadata = [
        (
            "pydantic-2.12.5-py3-none-any.whl",
            "Provides-Extra: email\nRequires-Dist: email-validator>=2; extra == 'email'\n",
        ),
        ("needs_old_numpy-1.0-py3-none-any.whl", "Requires-Dist: numpy<2\n"),
        ("one-2.0-py3-none-any.whl", "Requires-Dist: tabulate<0.9\n"),
        ("two-1.0-py3-none-any.whl", "Requires-Dist: tabulate>=0.9\nRequires-Dist: one\n"),
        (
            "tabulate-0.9.0-py3-none-any.whl",
            "Requires-Python: >=3.9\nRequires-Dist: widechars; sys_platform == 'win32'\n",
        ),
    ];
    Index { files: files.into(), metadata: metadata.into(), asked: Cell::new(0) }
}

impl Lookup for Index {
    fn project<'a>(&'a self, name: &'a PackageName) -> LocalBoxFuture<'a, Result<Rc<Project>, String>> {
        self.asked.set(self.asked.get() + 1);
        async move {
            let files = self.files.get(name.as_ref()).ok_or_else(|| format!("it knows no {name}"))?;
            let files: Vec<_> = files
                .iter()
                .map(|file| json!({ "filename": file, "url": format!("/f/{file}"), "hashes": { "sha256": "a".repeat(64) } }))
                .collect();
            let lock = Lock::parse(LOCK)?;
            let page = json!({ "files": files }).to_string();
            Project::parse(page.as_bytes(), "https://index.example/simple/x/", name, &lock.tags, &lock.python).map(Rc::new)
        }
        .boxed_local()
    }

    fn metadata<'a>(
        &'a self,
        wheel: &'a Wheel,
        _: Option<&'a (String, String)>,
    ) -> LocalBoxFuture<'a, Result<Rc<Metadata>, String>> {
        let text = self.metadata.get(wheel.file_name.as_str()).copied().unwrap_or_default();
        async move { Metadata::parse(text).map(Rc::new) }.boxed_local()
    }
}

fn resolved_with(wanted: &str, options: &PackageOptions, bundled: &[Wheel]) -> Result<Vec<String>, String> {
    let lock = Lock::parse(LOCK).unwrap();
    let wanted: Vec<Wanted> = parse_list(wanted)
        .unwrap()
        .into_iter()
        .map(|requirement| Wanted { requirement, origin: Origin::Script })
        .collect();
    let context = Context { lock: &lock, options, bundled, unfetched: &BTreeSet::new() };
    let wheels = block_on(resolve(context, &wanted, &index())).map_err(|error| error.why)?;
    Ok(wheels.iter().map(|wheel| format!("{} {}", wheel.name, wheel.version)).collect())
}

fn resolved(wanted: &str, source: Source) -> Result<Vec<String>, String> {
    resolved_with(wanted, &PackageOptions { source, ..PackageOptions::default() }, &[])
}

#[test]
fn the_lock_file_comes_first() {
    let expected = ["numpy 2.4.3", "pandas 3.0.2", "python-dateutil 2.9.0"];
    assert_eq!(resolved("Pandas", Source::Lock).unwrap(), expected);
    assert_eq!(resolved("pandas>=3,numpy", Source::Pypi).unwrap(), expected);
    assert_eq!(resolved("numpy; sys_platform == 'win32'", Source::Lock).unwrap(), [""; 0]);
}

#[test]
fn the_index_has_the_rest() {
    assert_eq!(resolved("tabulate", Source::Pypi).unwrap(), ["tabulate 0.9.0"]);
    assert_eq!(resolved("tabulate<0.9", Source::Pypi).unwrap(), ["tabulate 0.8.0"]);
    assert_eq!(resolved("msgspec", Source::Pypi).unwrap(), ["msgspec 0.22.0"]);
    assert_eq!(resolved("pydantic>2.12.5", Source::Pypi).unwrap(), ["pydantic 2.13.0"]);
}

#[test]
fn prereleases_are_taken_when_they_are_asked_for_or_all_there_is() {
    assert_eq!(resolved("tabulate>=1.0rc1", Source::Pypi).unwrap(), ["tabulate 1.0rc1"]);
    assert_eq!(resolved("fresh", Source::Pypi).unwrap(), ["fresh 1.0b1"]);
}

#[test]
fn extras_have_their_requirements() {
    let expected = ["email-validator 2.3.0", "pydantic 2.12.5"];
    assert_eq!(resolved("pydantic[email]", Source::Pypi).unwrap(), expected);
    let error = resolved("pydantic[none]", Source::Pypi).unwrap_err();
    assert!(error.contains("pydantic 2.12.5 has no extra `none`; it has: email"), "{error}");
}

#[test]
fn it_goes_back_to_an_older_version_if_it_must() {
    let expected = ["one 1.0", "tabulate 0.9.0", "two 1.0"];
    assert_eq!(resolved("one,two", Source::Pypi).unwrap(), expected);
}

#[test]
fn a_version_that_is_not_there_is_named_with_those_that_are() {
    let error = resolved("numpy==9.9", Source::Lock).unwrap_err();
    for part in ["`numpy==9.9`, required by the code's script block", "Pyodide has numpy 2.4.3", "PACKAGES=lock"] {
        assert!(error.contains(part), "{error}");
    }
    let error = resolved("tabulate==7", Source::Pypi).unwrap_err();
    for part in ["`tabulate==7`", "Pyodide has no tabulate", "with a wheel that runs here, 1.0rc1, 0.9.0, 0.8.0"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_package_for_other_platforms_only_is_named_as_such() {
    let error = resolved("numpy==2.4.6", Source::Pypi).unwrap_err();
    for part in ["Pyodide has numpy 2.4.3", "2.4.6", "none with a wheel that runs here", "pyemscripten_2026_0_wasm32"] {
        assert!(error.contains(part), "{error}");
    }
    let error = resolved("torch", Source::Pypi).unwrap_err();
    assert!(error.contains("Pyodide has no torch") && error.contains("none with a wheel that runs here"), "{error}");
    let error = resolved("msgspec==0.21.0", Source::Pypi).unwrap_err();
    assert!(error.contains("runs here, 0.22.0; without one") && error.contains("0.21.0"), "{error}");
}

#[test]
fn what_nobody_knows_is_named() {
    let error = resolved("no-such-thing", Source::Pypi).unwrap_err();
    assert!(error.contains("`no-such-thing`") && error.contains("it knows no no-such-thing"), "{error}");
    let error = resolved("empty", Source::Pypi).unwrap_err();
    assert!(error.contains("has no files of it"), "{error}");
}

#[test]
fn a_conflict_names_both_sides() {
    let error = resolved("needs-old-numpy,pandas", Source::Pypi).unwrap_err();
    assert!(error.contains("numpy") && error.contains("needs-old-numpy"), "{error}");
    let error = resolved("one==2.0,two", Source::Pypi).unwrap_err();
    for part in ["one", "two", "tabulate"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_settings_decide() {
    let denied = PackageOptions { denied: vec![name_of("numpy").unwrap()], ..PackageOptions::default() };
    let error = resolved_with("pandas", &denied, &[]).unwrap_err();
    assert!(error.contains("required by pandas") && error.contains("does not install numpy"), "{error}");
    let bundled = PackageOptions { source: Source::Bundled, ..PackageOptions::default() };
    let numpy = Wheel {
        name: "numpy".into(),
        version: "2.4.3".into(),
        sha256: "aa".into(),
        file_name: "numpy-2.4.3-cp314-cp314-pyemscripten_2026_0_wasm32.whl".into(),
        url: None,
    };
    let built_in = std::slice::from_ref(&numpy);
    assert_eq!(resolved_with("numpy", &bundled, built_in).unwrap(), ["numpy 2.4.3"]);
    let error = resolved_with("pandas", &bundled, built_in).unwrap_err();
    assert!(error.contains("only what is built in: numpy 2.4.3"), "{error}");
    let pypi = PackageOptions { source: Source::Pypi, ..PackageOptions::default() };
    let error = resolved_with("numpy==2.4.6", &pypi, built_in).unwrap_err();
    assert!(error.contains("has numpy 2.4.3 built in"), "{error}");
}

#[test]
fn an_endless_chain_of_dependencies_ends() {
    struct Endless;
    impl Lookup for Endless {
        fn project<'a>(&'a self, name: &'a PackageName) -> LocalBoxFuture<'a, Result<Rc<Project>, String>> {
            let file = format!("{}-1.0-py3-none-any.whl", name.as_ref().replace('-', "_"));
            let file = json!({ "filename": file, "url": "/f", "hashes": { "sha256": "a".repeat(64) } });
            let page = json!({ "files": [file] }).to_string();
            let lock = Lock::parse(LOCK).unwrap();
            let project = Project::parse(page.as_bytes(), "https://i/s/", name, &lock.tags, &lock.python);
            async move { project.map(Rc::new) }.boxed_local()
        }

        fn metadata<'a>(
            &'a self,
            wheel: &'a Wheel,
            _: Option<&'a (String, String)>,
        ) -> LocalBoxFuture<'a, Result<Rc<Metadata>, String>> {
            let n: u32 = wheel.name.strip_prefix('p').unwrap().parse().unwrap();
            async move { Metadata::parse(&format!("Requires-Dist: p{}\n", n + 1)).map(Rc::new) }.boxed_local()
        }
    }
    let lock = Lock::parse(LOCK).unwrap();
    let options = PackageOptions { source: Source::Pypi, ..PackageOptions::default() };
    let context = Context { lock: &lock, options: &options, bundled: &[], unfetched: &BTreeSet::new() };
    let requirement = requirement::parse("p0").unwrap();
    let wanted = [Wanted { requirement, origin: Origin::Settings }];
    let error = block_on(resolve(context, &wanted, &Endless)).unwrap_err();
    assert!(error.why.contains(&MAX_LOOKUPS.to_string()), "{error}");
}
