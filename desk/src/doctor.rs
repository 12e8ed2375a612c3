//! The mode `doctor`: attacks the confinement of workerd on this machine, and prints which attacks it held.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::Path,
    process::Stdio,
};

use crate::{
    errors::describe,
    workerd::{
        confine::probe::{self, Aim, Attack, COUNT, Scene},
        guard,
    },
};

/// Memory of the probe, in bytes.
const MEMORY: u64 = 256 * 1024 * 1024;

/// Says for each aim what is missing, if an attack was not held.
const COSTS: [(Aim, &str); 4] = [
    (Aim::Files, "files: needs Linux 5.13 or later with Landlock enabled (`landlock` in the boot option `lsm=`)"),
    (Aim::Sockets, "sockets: needs a kernel with seccomp, and best Landlock of Linux 6.12 or later"),
    (Aim::Processes, "processes: needs a kernel with seccomp, and best name spaces for every user"),
    (Aim::Kernel, "the kernel: needs one with seccomp"),
];

/// Runs the attacks and prints the outcomes. Returns the exit code: 0 if all were held.
///
/// # Errors
/// The attacks could not be tried.
pub fn run() -> Result<u8, String> {
    let folder = nix::unistd::mkdtemp(&env::temp_dir().join("mcp-run-python-doctor-XXXXXX"));
    let folder = folder.map_err(|error| format!("{error}, in {}", env::temp_dir().display()))?;
    let attacks = attack(&folder);
    let _ = fs::remove_dir_all(&folder);
    let attacks = attacks.map_err(|error| format!("the attacks could not be tried: {}", describe(&error)))?;
    println!("What native code in workerd's place, as after a break-out of V8, can do on this machine:\n");
    for attack in &attacks {
        match &attack.held {
            Some(how) => println!("  held  {} ({how})", attack.name),
            None => println!("  OPEN  {}", attack.name),
        }
    }
    let open = attacks.iter().filter(|attack| attack.held.is_none()).count();
    println!("\n{} of {} attacks were held.", attacks.len() - open, attacks.len());
    for (aim, cost) in COSTS {
        if attacks.iter().any(|attack| attack.aim == aim && attack.held.is_none()) {
            println!("A hole in V8 and in workerd's own sandbox reaches {cost}.");
        }
    }
    Ok(u8::from(open > 0))
}

/// Runs the probe, confined as workerd is.
fn attack(folder: &Path) -> std::io::Result<Vec<Attack>> {
    let program = env::current_exe().and_then(fs::canonicalize)?;
    let (scene, _targets) = Scene::set(folder, program.clone())?;
    let place = folder.join("scene");
    fs::write(&place, serde_json::to_vec(&scene)?)?;
    let own = folder.join("own");
    fs::create_dir(&own)?;
    // Stands for a descriptor that a client left open when it started this program.
    let left = fs::File::open(&scene.secret)?;
    probe::leave_open(&left);
    let mut guard = guard::command(guard::Kind::Probe, &own, &program, &place, MEMORY)
        .env_clear()
        .stdin(OwnedFd::from(UnixListener::bind(own.join("runs"))?))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let said = guard.stderr.take().map(BufReader::new);
    // **Boundary.** Lines that do not parse as an outcome are ignored.
    let lines = said.into_iter().flat_map(|said| said.lines().map_while(Result::ok));
    let mut attacks: Vec<Attack> = lines.take(COUNT).filter_map(|line| serde_json::from_str(&line).ok()).collect();
    guard.wait()?;
    if attacks.is_empty() {
        return Err(std::io::Error::other("the probe did not start"));
    }
    if attacks.len() < COUNT {
        attacks.push(Attack { name: "become another program".to_owned(), aim: Aim::Processes, held: None });
    }
    Ok(attacks)
}
