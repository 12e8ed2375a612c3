//! One workerd process: how it is started, sent requests, watched, and ended.
//!
//! ```text
//! this program --starts--> its guard (guard.rs: this program again) --confines and starts--> workerd
//!      |                                                                                       |
//!      `---------------------- HTTP over a Unix socket in a folder of its own ----------------'
//! ```
//! The guard ends workerd and removes the folder when this program ends, however it ends.

pub mod client;
#[cfg(target_os = "linux")]
pub mod confine;
pub mod envelope;
pub mod guard;
pub mod libraries;
#[cfg(any(target_os = "macos", test))]
mod seatbelt;

use std::{
    cell::RefCell,
    env,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            net::{UnixListener, UnixStream},
            process::ExitStatusExt,
        },
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdout, ExitStatus, Stdio},
    rc::Rc,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, channel::oneshot, future::LocalBoxFuture, future::Shared};
use hyper::{Method, StatusCode};
use tokio::{
    sync::{Mutex, Semaphore, SemaphorePermit, watch},
    time::timeout,
};
use uuid::Uuid;

pub use self::client::Answer;
use self::{
    client::Client,
    envelope::Pieces,
    guard::Kind,
    libraries::{Libraries, Library},
};
use crate::{errors::describe, installation::Installation, log::Log, platform::spawn};

/// How long a process may take to receive its assets; allows for a cold disk and a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long after its connections broke the end of a process may become known.
const END_KNOWN: Duration = Duration::from_millis(500);

/// How long an answer to a small request may take before the process is taken for blocked.
const ANSWER_LIMIT: Duration = Duration::from_millis(1000);

/// The name of the socket, in the process's folder.
const SOCKET: &str = "runs";

/// How processes are started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Where workerd is.
    pub installation: Installation,
    /// An archive of files that every interpreter has.
    pub data: Option<Bytes>,
    /// Most memory of a process, in bytes.
    pub memory: u64,
    /// Where messages for people go.
    pub log: Log,
}

/// How many interpreters boot at once in a process.
const BOOTS: usize = 2;

/// A process that was just started, to be watched by [`Workerd::watch`].
pub struct Started {
    folder: PathBuf,
    secret: String,
    /// The pipe from the guard, which ends workerd when this end is closed.
    alive: Option<ChildStdout>,
    /// The process id of workerd itself, once its guard has told it.
    pid: Arc<OnceLock<u32>>,
    /// Most memory of workerd, in bytes.
    most: u64,
    ready: oneshot::Receiver<Result<(), String>>,
    ended: oneshot::Receiver<String>,
}

impl Launch {
    /// Starts a process. Needs no async runtime.
    ///
    /// # Errors
    /// The system's error, with its name.
    pub fn start(&self) -> Result<Started, String> {
        let folder = nix::unistd::mkdtemp(&env::temp_dir().join("mcp-run-python-XXXXXX"));
        let folder = folder.map_err(|error| format!("{error}, in {}", env::temp_dir().display()))?;
        self.start_in(&folder).inspect_err(|_| {
            // The folder is ours, and nothing uses it yet.
            let _ = fs::remove_dir_all(&folder);
        })
    }

    fn start_in(&self, folder: &Path) -> Result<Started, String> {
        let failed = |error: io::Error| format!("workerd could not be started: {}", describe(&error));
        let socket = folder.join(SOCKET);
        let listener = UnixListener::bind(&socket).map_err(failed)?;
        let secret = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let Self { installation, memory, .. } = self;
        let mut guard = guard::command(Kind::Workerd, folder, &installation.workerd, &installation.config(), *memory)
            .env_clear()
            .env("SECRET", &secret)
            .stdin(OwnedFd::from(listener))
            .stdout(Stdio::piped())
            .stderr(if self.log.verbose { Stdio::piped() } else { Stdio::null() })
            .spawn()
            .map_err(failed)?;
        let alive = guard.stdout.take();
        if let Some(said) = guard.stderr.take() {
            let log = self.log;
            thread::Builder::new()
                .spawn(move || {
                    for line in BufReader::new(said).lines().map_while(Result::ok) {
                        log.debug(format_args!("workerd: {line}"));
                    }
                })
                .map_err(failed)?;
        }
        let (tell_ready, ready) = oneshot::channel();
        let (tell_ended, ended) = oneshot::channel();
        let (assets, data) = (self.installation.assets(), self.data.clone());
        let (authorization, place) = (secret.clone(), folder.to_owned());
        let told = alive.as_ref().map(|pipe| pipe.as_fd().try_clone_to_owned()).transpose().map_err(failed)?;
        let pid = Arc::<OnceLock<u32>>::default();
        let of_workerd = pid.clone();
        thread::Builder::new()
            .spawn(move || {
                let mut line = String::new();
                // This duplicate is closed again at once: the guard has to see when the original is closed.
                if told.is_some_and(|told| BufReader::new(File::from(told)).read_line(&mut line).is_ok())
                    && let Ok(pid) = line.trim().parse()
                {
                    let _ = of_workerd.set(pid);
                }
                // If nobody waits any longer, the guard's pipe is closed, too.
                let _ = tell_ready.send(send_all(&socket, &authorization, &assets, data.as_deref()));
                let status = wait(guard);
                // The guard removes the folder, unless it was killed itself.
                let _ = fs::remove_dir_all(place);
                let _ = tell_ended.send(format!("workerd ended ({status})"));
            })
            .map_err(failed)?;
        Ok(Started { folder: folder.to_owned(), secret, alive, pid, most: *memory, ready, ended })
    }
}

/// Waits for the end of the guard, whose status is workerd's, in a shell's form.
fn wait(mut guard: Child) -> String {
    match guard.wait() {
        Ok(status) => describe_status(status),
        Err(error) => describe(&error),
    }
}

fn describe_status(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) if code > 128 => format!("signal {}", code - 128),
        (Some(code), _) => format!("status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown status".to_owned(),
    }
}

/// Sends what isolates are made of, and the files that each isolate gets.
fn send_all(socket: &Path, secret: &str, assets: &Path, data: Option<&[u8]>) -> Result<(), String> {
    let assets = File::open(assets).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (length, file) = assets.map_err(|error| describe(&error))?;
    if let Some(data) = data {
        send(socket, secret, "/data", data.len() as u64, data)?;
    }
    send(socket, secret, "/assets", length, file)
}

/// Sends content over a plain socket: the system copies it, so this program never holds it.
fn send(socket: &Path, secret: &str, path: &str, length: u64, mut content: impl Read) -> Result<(), String> {
    let silent = || "workerd did not start; --verbose shows what it says".to_owned();
    let mut send = || -> io::Result<[u8; 12]> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(START_LIMIT))?;
        stream.set_write_timeout(Some(START_LIMIT))?;
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: desk\r\nauthorization: {secret}\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n"
        )?;
        io::copy(&mut content, &mut stream)?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(head)
    };
    match send() {
        Ok(head) if head.starts_with(b"HTTP/1.1 204") => Ok(()),
        Ok(_) => Err(silent()),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Err("workerd did not start in time".to_owned())
        }
        Err(error) if error.raw_os_error() == Some(nix::libc::ENOENT) => Err(describe(&error)),
        Err(_) => Err(silent()),
    }
}

/// Size of the system's pages, in bytes.
fn page_size() -> usize {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| size.try_into().ok()).unwrap_or(4096)
}

/// A process. Clones refer to the same one.
#[derive(Clone)]
pub struct Workerd(Rc<Inner>);

struct Inner {
    client: Client,
    alive: RefCell<Option<ChildStdout>>,
    pid: Arc<OnceLock<u32>>,
    most: usize,
    /// Bounds how many interpreters boot at once.
    boots: Semaphore,
    /// Native libraries that the process has compiled.
    libraries: Mutex<Libraries>,
    /// Why it has ended, once it has.
    ended: watch::Sender<Option<String>>,
    ready: Shared<LocalBoxFuture<'static, Result<(), String>>>,
    /// Resolves when nothing is left of it.
    gone: Shared<LocalBoxFuture<'static, ()>>,
}

impl Workerd {
    /// Watches a process that was started.
    pub fn watch(started: Started) -> Self {
        let Started { folder, secret, alive, pid, most, ready, ended: over } = started;
        let (ended, _) = watch::channel(None);
        let ready = ready.map(|ready| ready.unwrap_or_else(|_| Err("workerd did not start".to_owned())));
        let (tell_gone, gone) = oneshot::channel::<()>();
        let workerd = Self(Rc::new(Inner {
            client: Client::new(folder.join(SOCKET), secret),
            alive: RefCell::new(alive),
            pid,
            most: most.try_into().unwrap_or(usize::MAX),
            boots: Semaphore::new(BOOTS),
            libraries: Mutex::default(),
            ended,
            ready: ready.boxed_local().shared(),
            gone: gone.map(|_| ()).boxed_local().shared(),
        }));
        let (watched, starting) = (workerd.clone(), workerd.clone());
        spawn(async move {
            let why = over.await.unwrap_or_else(|_| "workerd ended".to_owned());
            watched.end(&why);
            drop(tell_gone);
        });
        spawn(async move {
            if starting.ready().await.is_err() {
                starting.end("it did not start");
            }
        });
        workerd
    }

    /// Resolves when the process takes interpreters.
    ///
    /// # Errors
    /// It did not start, or was ended before.
    pub async fn ready(&self) -> Result<(), String> {
        self.0.ready.clone().await
    }

    /// Waits until another interpreter may boot in this process. All boots share its thread, so many at once are no faster, and
    /// would keep the process from answering for so long that it is taken for blocked.
    pub async fn turn_to_boot(&self) -> Option<SemaphorePermit<'_>> {
        self.0.boots.acquire().await.ok()
    }

    /// Sends the process the libraries that it has not compiled yet.
    ///
    /// # Errors
    /// Why they could not be loaded.
    pub async fn has_libraries<'a>(&self, wanted: impl Iterator<Item = &'a Library>) -> Result<(), String> {
        // One request at a time: what is known here has to match what was sent.
        let mut libraries = self.0.libraries.lock().await;
        let Some(sent) = libraries.add(wanted) else { return Ok(()) };
        let status = self.status("/libraries", START_LIMIT, sent).await;
        if status == Some(StatusCode::NO_CONTENT) {
            return Ok(());
        }
        libraries.forget();
        Err(self.ended().unwrap_or_else(|| "an interpreter's native libraries could not be loaded".to_owned()))
    }

    /// Forgets which libraries the process has, so that they are sent again.
    pub async fn forget_libraries(&self) {
        self.0.libraries.lock().await.forget();
    }

    /// Why it has ended, if it has.
    pub fn ended(&self) -> Option<String> {
        self.0.ended.borrow().clone()
    }

    /// Memory of its own, in bytes; 0 if it has ended, or the system does not say.
    pub fn memory(&self) -> usize {
        let [_, resident, shared, ..] = self.pages();
        // Shared memory is that of its program.
        resident.saturating_sub(shared).saturating_mul(page_size())
    }

    /// Whether it has taken most of the memory that it may have: further allocations may fail.
    pub fn is_crowded(&self) -> bool {
        let [.., data] = self.pages();
        data.saturating_mul(page_size()) > self.0.most / 4 * 3
    }

    /// The first members of `/proc/PID/statm`.
    fn pages(&self) -> [usize; 6] {
        let pid = self.0.pid.get().filter(|_| self.ended().is_none());
        let told = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/statm")).ok()).unwrap_or_default();
        let mut counts = told.split_whitespace().map(|count| count.parse().unwrap_or_default());
        std::array::from_fn(|_| counts.next().unwrap_or_default())
    }

    /// Resolves with the reason when it has ended.
    pub async fn end_of(&self) -> String {
        let mut ended = self.0.ended.subscribe();
        let why = ended.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        why.unwrap_or_else(|| "workerd ended".to_owned())
    }

    /// Ends it at once. `why` is the reason that is given for its runs.
    pub fn end(&self, why: &str) {
        let first = self.0.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some(why.to_owned());
            }
            first
        });
        if first {
            self.0.client.close();
            // The guard sees the pipe close, and kills workerd.
            drop(self.0.alive.take());
        }
    }

    /// Resolves when nothing is left of it.
    pub async fn gone(&self) {
        self.0.gone.clone().await;
    }

    /// Sends a request to the parent worker. Returns the response once its head has arrived.
    ///
    /// # Errors
    /// How the connection failed: [`Self::why`] may know better.
    pub async fn ask(&self, method: Method, path: &str, body: Pieces) -> Result<Answer, String> {
        if let Some(why) = self.ended() {
            return Err(why);
        }
        self.0.client.ask(method, path, body).await
    }

    /// Sends a request, and returns the status once the whole response has arrived; `None` if it did not in time.
    pub async fn status(&self, path: &str, limit: Duration, body: Pieces) -> Option<StatusCode> {
        let asked = async { self.ask(Method::POST, path, body).await?.settled().await };
        timeout(limit, asked).await.ok()?.ok()
    }

    /// Whether it answers: a loop in C, in any of its isolates, blocks them all. (A loop in Python yields every 20 ms,
    /// and an answer takes several turns.)
    pub async fn answers(&self) -> bool {
        self.status("/", ANSWER_LIMIT, Pieces::default()).await == Some(StatusCode::NO_CONTENT)
    }

    /// The reason for an error: that of the process's end, if this is known in a moment, else the error itself.
    pub async fn why(&self, error: String) -> String {
        timeout(END_KNOWN, self.end_of()).await.unwrap_or(error)
    }
}
