//! Steps of a build: each prints what it does and how long it took, and is skipped if its result exists.

use std::{
    env, fs,
    io::Read,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

/// The folder of the whole project: that of the package that cargo runs, or the one around the current folder or
/// around this program. Found at run time, as a checkout with what was built in it may be copied or moved.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let starts =
            [env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from), env::current_dir().ok(), env::current_exe().ok()];
        starts.iter().flatten().find_map(|start| project_around(start)).unwrap_or_else(|| PathBuf::from("."))
    })
}

/// The nearest folder of this project that `path` is in.
fn project_around(path: &Path) -> Option<PathBuf> {
    let project = path
        .ancestors()
        .find(|folder| folder.join("xtask/Cargo.toml").is_file() && folder.join("worker/wrangler.jsonc").is_file())?;
    Some(project.to_owned())
}

/// Where build results are.
pub fn target() -> PathBuf {
    root().join("target")
}

/// Hash of all that a step depends on, which tells whether the step was done.
#[derive(Default)]
pub struct Inputs(Sha256);

impl Inputs {
    /// The contents and names of a file, or of all files in a folder, except for Python's caches.
    pub fn path(mut self, path: impl AsRef<Path>) -> Result<Self> {
        let path = root().join(path);
        let files = WalkDir::new(&path).sort_by_file_name().into_iter();
        for entry in files.filter_entry(|entry| entry.file_name() != "__pycache__") {
            let entry = entry.with_context(|| format!("{} cannot be read", path.display()))?;
            if entry.file_type().is_file() {
                let path = entry.path();
                // Relative to the project, whose place does not matter.
                self.0.update(path.strip_prefix(root()).unwrap_or(path).as_os_str().as_encoded_bytes());
                self.0.update(fs::read(entry.path())?);
            }
        }
        Ok(self)
    }

    /// A text.
    pub fn text(mut self, text: &str) -> Self {
        self.0.update(text);
        self
    }

    /// All of it as one hash.
    pub fn fingerprint(self) -> String {
        hexadecimal(&self.0.finalize())
    }
}

/// Bytes in hexadecimal.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The sha256 of a file, in hexadecimal.
pub fn sha256(file: &Path) -> Result<String> {
    let mut sum = Sha256::new();
    let mut file = fs::File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let mut bytes = vec![0; 1 << 20];
    loop {
        let length = file.read(&mut bytes)?;
        if length == 0 {
            return Ok(hexadecimal(&sum.finalize()));
        }
        sum.update(&bytes[..length]);
    }
}

/// Does a step, unless it was done with the same inputs and its outputs are still there.
pub fn step(what: &str, inputs: Inputs, outputs: &[PathBuf], run: impl FnOnce() -> Result<()>) -> Result<()> {
    let name: String = what.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let stamp = target().join("xtask").join(name);
    let fingerprint = inputs.fingerprint();
    let _alone = alone(what, &stamp)?;
    let done = fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == fingerprint);
    if done && outputs.iter().all(|output| output.exists()) {
        return Ok(());
    }
    timed(what, run)?;
    Ok(fs::write(stamp, fingerprint)?)
}

/// A lock on a step, until it is dropped: each running `wrangler dev` builds anew when a source changes.
pub fn alone(what: &str, stamp: &Path) -> Result<fs::File> {
    fs::create_dir_all(target().join("xtask"))?;
    let lock = fs::File::create(stamp.with_extension("lock"))?;
    if lock.try_lock().is_err() {
        eprintln!("    waiting for another process: {what}");
        lock.lock()?;
    }
    Ok(lock)
}

/// Does a step, and says how long it took.
pub fn timed<T>(what: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("==> {what}");
    let start = Instant::now();
    let done = run().with_context(|| what.to_owned())?;
    eprintln!("    {what}: {:.1} s", start.elapsed().as_secs_f32());
    Ok(done)
}

/// Runs a command to its end.
///
/// # Errors
/// Names the command, if it cannot be started or fails.
pub fn run(command: &mut Command) -> Result<()> {
    let name = shown(command);
    let status = command.status().with_context(|| format!("`{name}` cannot be started"))?;
    if !status.success() {
        bail!("`{name}` failed: {status}");
    }
    Ok(())
}

/// Runs a command to its end, and gives what it printed.
pub fn output(command: &mut Command) -> Result<String> {
    let name = shown(command);
    let output = command.output().with_context(|| format!("`{name}` cannot be started"))?;
    if !output.status.success() {
        bail!("`{name}` failed: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_done_again_when_its_inputs_change_or_its_output_is_gone() {
        let output = target().join("xtask-step-test");
        let run = |path: &str| {
            let mut ran = false;
            step("test of steps", Inputs::default().path(path).unwrap(), std::slice::from_ref(&output), || {
                ran = true;
                Ok(fs::write(&output, "")?)
            })
            .unwrap();
            ran
        };
        let _ = fs::remove_file(&output);
        assert!(run("Cargo.toml"));
        assert!(!run("Cargo.toml"));
        assert!(run("xtask/src"));
        fs::remove_file(&output).unwrap();
        assert!(run("xtask/src"));
        fs::remove_file(&output).unwrap();
    }

    #[test]
    fn the_project_is_found_from_within_wherever_it_lies() {
        let project = target().join("xtask-root-test");
        let _ = fs::remove_dir_all(&project);
        for folder in ["xtask/src", "worker/src", "target/debug"] {
            fs::create_dir_all(project.join(folder)).unwrap();
        }
        for file in ["xtask/Cargo.toml", "worker/wrangler.jsonc"] {
            fs::write(project.join(file), "").unwrap();
        }
        for from in ["", "xtask", "worker/src", "target/debug/xtask"] {
            assert_eq!(project_around(&project.join(from)), Some(project.clone()), "{from}");
        }
        // The folders around it are in another project: the one of this test.
        fs::remove_file(project.join("xtask/Cargo.toml")).unwrap();
        assert_eq!(project_around(&project), Some(root().to_owned()));
        assert_eq!(project_around(Path::new("/")), None);
        fs::remove_dir_all(project).unwrap();
    }

    #[test]
    fn what_python_leaves_is_no_input() {
        let folder = target().join("xtask-inputs-test");
        fs::create_dir_all(folder.join("__pycache__")).unwrap();
        fs::write(folder.join("a.py"), "").unwrap();
        let before = Inputs::default().path(&folder).unwrap().fingerprint();
        fs::write(folder.join("__pycache__/a.pyc"), "").unwrap();
        assert_eq!(Inputs::default().path(&folder).unwrap().fingerprint(), before);
        fs::write(folder.join("b.py"), "").unwrap();
        assert_ne!(Inputs::default().path(&folder).unwrap().fingerprint(), before);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_failing_command_is_named() {
        let error = run(Command::new("false").arg("--why")).unwrap_err().to_string();
        assert!(error.contains("false --why"), "{error}");
        let error = run(&mut Command::new("no-such-command")).unwrap_err().to_string();
        assert!(error.contains("no-such-command"), "{error}");
    }
}
