//! Attacks from native code: what a hole in V8 and in workerd's own sandbox would give. `mcp-run-python doctor` starts
//! this in workerd's place, confined in the same way, and prints which attacks were held.

use std::{
    ffi::CString,
    fs::{self, File},
    io::{self, Read},
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        fd::AsRawFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process,
};

use libc::c_long;
use nix::{
    sys::{ptrace, resource::Resource, signal::kill},
    unistd::{ForkResult, Pid, fork},
};
use serde::{Deserialize, Serialize};

/// The targets of the attacks.
#[derive(Debug, Serialize, Deserialize)]
pub struct Scene {
    /// A process of the same user.
    pub victim: i32,
    /// A file that only this user may read.
    pub secret: PathBuf,
    /// A folder that this user may write to.
    pub folder: PathBuf,
    /// A port on loopback where something listens.
    pub port: u16,
    /// A Unix socket where something listens.
    pub socket: PathBuf,
    /// A Unix socket that takes datagrams.
    pub datagrams: PathBuf,
    /// The name of an abstract Unix socket where something listens.
    pub name: String,
    /// This program.
    pub program: PathBuf,
}

/// The aim of an attack: what a missing piece of the confinement exposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Aim {
    /// Files of the user.
    Files,
    /// The network, and other programs' sockets.
    Sockets,
    /// Other processes, and new ones.
    Processes,
    /// Parts of the kernel that workerd does not need.
    Kernel,
}

/// The outcome of an attack.
#[derive(Debug, Serialize, Deserialize)]
pub struct Attack {
    /// What was tried.
    pub name: String,
    /// What it aims at.
    pub aim: Aim,
    /// What held it; `None` if nothing did.
    pub held: Option<String>,
}

type Attempt = fn(&Scene) -> io::Result<()>;

/// All attacks. The last one becomes another program if it can, so nothing can come after it.
const ATTACKS: [(&str, Aim, Attempt); 31] = [
    ("read /etc/passwd", Aim::Files, |_| read(Path::new("/etc/passwd"))),
    ("read a file of this user", Aim::Files, |scene| read(&scene.secret)),
    ("list the root folder", Aim::Files, |_| list(Path::new("/"))),
    ("list a folder of this user", Aim::Files, |scene| list(&scene.folder)),
    ("write to its own folder", Aim::Files, |_| File::create("written").map(drop)),
    ("write to another folder", Aim::Files, |scene| File::create(scene.folder.join("written")).map(drop)),
    ("delete a file of this user", Aim::Files, |scene| fs::remove_file(&scene.secret)),
    ("link to a file of this user", Aim::Files, |scene| std::os::unix::fs::symlink(&scene.secret, "link")),
    ("use a descriptor that was left open", Aim::Files, |_| leaked()),
    ("connect by TCP", Aim::Sockets, |scene| TcpStream::connect(("127.0.0.1", scene.port)).map(drop)),
    ("listen by TCP", Aim::Sockets, |_| TcpListener::bind("127.0.0.1:0").map(drop)),
    ("send by UDP", Aim::Sockets, |scene| {
        UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", ("127.0.0.1", scene.port)).map(drop)
    }),
    ("connect to a Unix socket", Aim::Sockets, |scene| UnixStream::connect(&scene.socket).map(drop)),
    ("connect to an abstract socket", Aim::Sockets, |scene| {
        UnixStream::connect_addr(&SocketAddr::from_abstract_name(&scene.name)?).map(drop)
    }),
    ("listen on a Unix socket", Aim::Sockets, |_| UnixListener::bind("socket").map(drop)),
    ("send a datagram to a Unix socket", Aim::Sockets, |scene| {
        UnixDatagram::pair()?.0.send_to(b"x", &scene.datagrams).map(drop)
    }),
    ("read the environment of another process", Aim::Processes, |scene| of_victim(scene, "environ")),
    ("read the memory of another process", Aim::Processes, |scene| of_victim(scene, "mem")),
    ("trace another process", Aim::Processes, |scene| Ok(ptrace::attach(victim(scene))?)),
    ("signal another process", Aim::Processes, |scene| Ok(kill(victim(scene), None)?)),
    ("signal all processes", Aim::Processes, |_| Ok(kill(Pid::from_raw(-1), None)?)),
    ("start a process", Aim::Processes, |_| start()),
    ("dump its memory", Aim::Processes, |_| {
        Ok(nix::sys::resource::setrlimit(Resource::RLIMIT_CORE, 0, libc::RLIM_INFINITY)?)
    }),
    ("memfd_create", Aim::Kernel, |_| call(libc::SYS_memfd_create, [c"x".as_ptr() as c_long, 0, 0])),
    ("io_uring_setup", Aim::Kernel, |_| call(libc::SYS_io_uring_setup, [0, 0, 0])),
    ("bpf", Aim::Kernel, |_| call(libc::SYS_bpf, [0, 0, 0])),
    ("userfaultfd", Aim::Kernel, |_| call(libc::SYS_userfaultfd, [0, 0, 0])),
    ("perf_event_open", Aim::Kernel, |_| call(libc::SYS_perf_event_open, [0, 0, 0])),
    ("unshare", Aim::Kernel, |_| call(libc::SYS_unshare, [libc::CLONE_NEWUSER.into(), 0, 0])),
    ("keyctl", Aim::Kernel, |_| call(libc::SYS_keyctl, [0, 0, 0])),
    ("become another program", Aim::Processes, |scene| {
        // This program itself: Landlock allows it to be executed, so something else has to stop this.
        become_program(&scene.program)
    }),
];

/// How many there are.
pub const COUNT: usize = ATTACKS.len();

/// Runs the attacks. Writes each outcome to standard error, as one line of JSON. Returns the exit code.
pub fn main(scene: &Path) -> u8 {
    let scene = fs::read(scene).ok().and_then(|text| serde_json::from_slice::<Scene>(&text).ok());
    let Some(scene) = scene else { return 1 };
    for (name, aim, attempt) in ATTACKS {
        let held = attempt(&scene).err().map(|error| crate::errors::describe(&error));
        let attack = Attack { name: name.to_owned(), aim, held };
        eprintln!("{}", serde_json::to_string(&attack).unwrap_or_default());
    }
    0
}

fn read(file: &Path) -> io::Result<()> {
    File::open(file)?.read(&mut [0]).map(drop)
}

fn list(folder: &Path) -> io::Result<()> {
    match fs::read_dir(folder)?.next() {
        Some(entry) => entry.map(drop),
        None => Ok(()),
    }
}

fn of_victim(scene: &Scene, file: &str) -> io::Result<()> {
    let file = File::open(format!("/proc/{}/{file}", scene.victim))?;
    // The first page of memory is never mapped: it is enough that the file could be opened.
    let _ = (&file).read(&mut [0]);
    Ok(())
}

fn victim(scene: &Scene) -> Pid {
    Pid::from_raw(scene.victim)
}

/// Succeeds if anything is open besides the standard streams and the one socket that was handed over.
fn leaked() -> io::Result<()> {
    let open = (3..1024).filter(|descriptor| {
        // SAFETY: it only queries a descriptor, and fails if the number is none.
        #[allow(unsafe_code)]
        unsafe {
            libc::fcntl(*descriptor, libc::F_GETFD) >= 0
        }
    });
    if open.count() > 1 { Ok(()) } else { Err(io::Error::other("there is none")) }
}

fn start() -> io::Result<()> {
    // SAFETY: the child ends at once.
    #[allow(unsafe_code)]
    match unsafe { fork() }? {
        ForkResult::Child => process::exit(0),
        ForkResult::Parent { .. } => Ok(()),
    }
}

fn call(number: c_long, [a, b, c]: [c_long; 3]) -> io::Result<()> {
    // SAFETY: the only pointer that is passed is to a constant; where others are expected, it is 0.
    #[allow(unsafe_code)]
    let result = unsafe { libc::syscall(number, a, b, c, 0, 0) };
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        _ if result >= 0 => Ok(()),
        // The kernel got as far as the arguments: with others, the call would succeed.
        Some(libc::EFAULT | libc::EINVAL | libc::ENOKEY) => Ok(()),
        _ => Err(error),
    }
}

fn become_program(program: &Path) -> io::Result<()> {
    let path = CString::new(program.as_os_str().as_encoded_bytes())?;
    Ok(nix::unistd::execve(&path, &[&path], &[&path]).map(drop)?)
}

/// Sockets that can be reached as long as this is held.
pub struct Targets {
    _tcp: TcpListener,
    _unix: UnixListener,
    _datagrams: UnixDatagram,
    _abstract: UnixListener,
}

impl Scene {
    /// Sets up the targets in a folder. This process is the victim.
    ///
    /// # Errors
    /// The system's.
    pub fn set(folder: &Path, program: PathBuf) -> io::Result<(Self, Targets)> {
        let tcp = TcpListener::bind("127.0.0.1:0")?;
        let port = tcp.local_addr()?.port();
        let name = format!("mcp-run-python-{}", process::id());
        let (secret, socket, datagrams) = (folder.join("secret"), folder.join("socket"), folder.join("datagrams"));
        fs::write(&secret, "secret")?;
        let targets = Targets {
            _tcp: tcp,
            _unix: UnixListener::bind(&socket)?,
            _datagrams: UnixDatagram::bind(&datagrams)?,
            _abstract: UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?,
        };
        let victim = i32::try_from(process::id()).unwrap_or(1);
        let folder = folder.to_owned();
        Ok((Self { victim, secret, folder, port, socket, datagrams, name, program }, targets))
    }
}

/// Lets children inherit a descriptor, as a careless parent would.
pub fn leave_open(file: &File) {
    // SAFETY: it changes a flag of a descriptor that is open.
    #[allow(unsafe_code)]
    unsafe {
        libc::fcntl(file.as_raw_fd(), libc::F_SETFD, 0);
    }
}
