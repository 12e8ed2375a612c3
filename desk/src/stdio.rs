//! MCP over stdin and stdout: one JSON text per line.

use std::{
    cell::Cell,
    env, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream as StdStream,
    },
    rc::Rc,
    time::Duration,
};

use mcp_run_python::limits::MAX_BODY;
use nix::{
    sys::stat::{SFlag, fstat},
    unistd::getppid,
};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{UnixStream, unix::pipe},
    sync::{Notify, mpsc},
    time::sleep,
};

use crate::{errors::describe, platform::spawn, server::Server};

/// Longest line that is held, in bytes: one more than the core takes, so that it refuses longer lines.
const MAX_LINE: usize = MAX_BODY + 1;

/// How often to check whether the last answers are written.
const POLL: Duration = Duration::from_millis(10);

/// How much is read at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// The environment variable that the npm package's library sets. MCP has no message for its `interrupt()`: a cancelled
/// call gives no result.
const LIBRARY: &str = "MCP_RUN_PYTHON_LIBRARY";

/// The library's message for `interrupt()`.
const INTERRUPT: &[u8] = br#"{"jsonrpc":"2.0","id":"interrupt","method":"interrupt"}"#;

/// Serves one client. Resolves when the client is gone, and its requests are answered.
pub async fn serve(server: &Server) {
    let (send, mut answers) = mpsc::unbounded_channel::<String>();
    let unwritten = Rc::new(Cell::new(0_usize));
    let counted = unwritten.clone();
    let answer = move |text| {
        counted.set(counted.get() + 1);
        // Fails if the writer has stopped: then `serve` ends, too.
        let _ = send.send(text);
    };
    let connection = server.home.connect(answer.clone());
    let in_library = env::var_os(LIBRARY).is_some();
    let gone = Rc::new(Notify::new());
    let (told, left, log) = (gone.clone(), unwritten.clone(), server.log);
    spawn(async move {
        let mut stdout = output();
        while let Some(mut text) = answers.recv().await {
            text.push('\n');
            let written = async { stdout.write_all(text.as_bytes()).await.and(stdout.flush().await) };
            if let Err(error) = written.await {
                log.debug(format_args!("stdout: {}", describe(&error)));
                told.notify_one();
                return;
            }
            left.set(left.get() - 1);
        }
    });
    let parent = getppid();
    let ended = async {
        let mut stdin = input();
        let mut lines = Lines::default();
        let mut chunk = vec![0; CHUNK];
        let receive = |line: &[u8]| match in_library && line == INTERRUPT {
            true => answer(interrupted(server)),
            false => connection.receive(line),
        };
        // A read error counts as the end.
        while let Ok(size @ 1..) = stdin.read(&mut chunk).await {
            lines.take(chunk.get(..size).unwrap_or_default(), receive);
        }
        lines.end(receive);
        // Our parent is the client: if it is gone, nobody waits for answers.
        while !(connection.is_idle() && unwritten.get() == 0) && getppid() == parent {
            sleep(POLL).await;
        }
    };
    tokio::select! {
        () = ended => {}
        () = gone.notified() => {}
    }
    connection.close();
}

/// Stops all runs. The answer says whether there was one.
fn interrupted(server: &Server) -> String {
    let result = json!({ "interrupted": server.pool.interrupt() });
    json!({ "jsonrpc": "2.0", "id": "interrupt", "result": result }).to_string()
}

/// Splits a stream into lines. A line that is too long is cut off.
#[derive(Default)]
struct Lines {
    held: Vec<u8>,
}

impl Lines {
    fn take(&mut self, mut chunk: &[u8], mut each: impl FnMut(&[u8])) {
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = chunk.split_at(end);
            self.keep(line);
            self.end(&mut each);
            chunk = rest.get(1..).unwrap_or_default();
        }
        self.keep(chunk);
    }

    fn keep(&mut self, part: &[u8]) {
        let kept = part.len().min(MAX_LINE - self.held.len());
        self.held.extend_from_slice(part.get(..kept).unwrap_or_default());
    }

    /// Passes on the line that is held, unless it is blank.
    fn end(&mut self, mut each: impl FnMut(&[u8])) {
        if self.held.iter().any(|byte| *byte > b' ') {
            each(&self.held);
        }
        self.held.clear();
        // Frees the memory of a long line.
        self.held.shrink_to(CHUNK);
    }
}

/// Standard input: read directly if it is a pipe or a Unix socket, otherwise by a thread.
fn input() -> Box<dyn AsyncRead + Unpin> {
    let duplicate = || io::stdin().as_fd().try_clone_to_owned();
    match own_kind(&io::stdin()) {
        Some(Kind::Pipe) => {
            if let Ok(pipe) = duplicate().and_then(pipe::Receiver::from_owned_fd) {
                return Box::new(pipe);
            }
        }
        Some(Kind::Socket) => {
            if let Ok(stream) = duplicate().and_then(socket) {
                return Box::new(stream);
            }
        }
        None => {}
    }
    Box::new(tokio::io::stdin())
}

/// The same for standard output.
fn output() -> Box<dyn AsyncWrite + Unpin> {
    let duplicate = || io::stdout().as_fd().try_clone_to_owned();
    match own_kind(&io::stdout()) {
        Some(Kind::Pipe) => {
            if let Ok(pipe) = duplicate().and_then(pipe::Sender::from_owned_fd) {
                return Box::new(pipe);
            }
        }
        Some(Kind::Socket) => {
            if let Ok(stream) = duplicate().and_then(socket) {
                return Box::new(stream);
            }
        }
        None => {}
    }
    Box::new(tokio::io::stdout())
}

enum Kind {
    Pipe,
    Socket,
}

fn own_kind(of: &impl AsFd) -> Option<Kind> {
    let mode = fstat(of.as_fd()).ok()?.st_mode;
    match SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFIFO => Some(Kind::Pipe),
        SFlag::S_IFSOCK => Some(Kind::Socket),
        _ => None,
    }
}

fn socket(descriptor: OwnedFd) -> io::Result<UnixStream> {
    let stream = StdStream::from(descriptor);
    // Fails for any other kind of socket, which is left as it is.
    stream.local_addr()?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_and_never_too_long() {
        let mut lines = Lines::default();
        let mut got = Vec::new();
        for chunk in ["a", "b\n \n", "\nc\nd", "\n"] {
            lines.take(chunk.as_bytes(), |line| got.push(String::from_utf8(line.to_vec()).unwrap()));
        }
        lines.take(b"last", |_| panic!("it has not ended"));
        lines.end(|line| got.push(String::from_utf8(line.to_vec()).unwrap()));
        assert_eq!(got, ["ab", "c", "d", "last"]);
        let mut sizes = Vec::new();
        let long = vec![b'x'; MAX_LINE / 2];
        for _ in 0..4 {
            lines.take(&long, |line| sizes.push(line.len()));
        }
        lines.take(b"\nshort\n", |line| sizes.push(line.len()));
        assert_eq!(sizes, [MAX_LINE, 5]);
        assert!(lines.held.capacity() <= CHUNK);
    }
}
