//! Files over HTTP, with the system's certificates and proxies.

use std::{cell::OnceCell, error::Error, io::ErrorKind, net::IpAddr, rc::Rc, time::Instant};

use mcp_run_python::packages::supply::{FetchError, FetchRequest};
use netrc::Netrc;
use reqwest::{Client, StatusCode, Url, header};

use crate::log::Log;

/// Fetches files over HTTP. Clones share their connections.
#[derive(Clone)]
pub struct Network {
    /// Made on first use: reading the system's certificates takes a moment.
    client: Rc<OnceCell<Client>>,
    /// Names and passwords by host, as `~/.netrc` has them, or the file that `NETRC` names.
    secrets: Rc<OnceCell<Option<Netrc>>>,
    log: Log,
}

impl Network {
    /// A network that logs to `log` what it fetches.
    ///
    /// # Errors
    /// Never: the first request makes the client, and reports what is wrong.
    pub fn new(log: Log) -> Result<Self, String> {
        Ok(Self { client: Rc::default(), secrets: Rc::default(), log })
    }

    fn client(&self) -> Result<&Client, FetchError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // Fails if a second server in this process has installed it already: it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().build().map_err(|error| FetchError::Unreachable(innermost(&error)))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// The name and the password for the host of an address.
    ///
    /// **Boundary.** Only that host gets them (reqwest drops them when it is redirected to another), and only by HTTPS or on this
    /// machine. They are never logged, and never enter an isolate.
    fn secret_for(&self, address: &str) -> Option<(&str, &str)> {
        let url = Url::parse(address).ok()?;
        let host = url.host_str()?;
        let is_local =
            host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        if url.scheme() != "https" && !is_local {
            return None;
        }
        let secrets = self.secrets.get_or_init(|| match Netrc::new() {
            Ok(secrets) => Some(secrets),
            Err(netrc::Error::Io(error)) if error.kind() == ErrorKind::NotFound => None,
            Err(_) => {
                // The error may quote the file.
                self.log.warning("the netrc file cannot be read: private indexes are asked without a password");
                None
            }
        });
        let secret = secrets.as_ref()?.hosts.get(host)?;
        Some((&secret.login, &secret.password))
    }

    /// Fetches a file, never holding more of it than was asked for.
    ///
    /// # Errors
    /// Why it could not be fetched.
    pub async fn fetch(&self, request: &FetchRequest) -> Result<Vec<u8>, FetchError> {
        let fetching = self.read(request);
        tokio::time::timeout(request.timeout, fetching).await.unwrap_or(Err(FetchError::Timeout(request.timeout)))
    }

    async fn read(&self, request: &FetchRequest) -> Result<Vec<u8>, FetchError> {
        let started = Instant::now();
        let name = request.url.rsplit('/').next().unwrap_or_default();
        let mut get = self.client()?.get(&request.url);
        if let Some((name, password)) = self.secret_for(&request.url) {
            get = get.basic_auth(name, Some(password));
        }
        match request.accept {
            Some(accept) => get = get.header(header::ACCEPT, accept),
            None => self.log.info(format_args!("fetching {name}")),
        }
        let unreachable = |error: reqwest::Error| FetchError::Unreachable(innermost(&error));
        let mut response = get.send().await.map_err(unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if bytes.len() + chunk.len() > request.max_bytes {
                return Err(FetchError::TooLarge(request.max_bytes));
            }
            bytes.extend_from_slice(&chunk);
        }
        if request.accept.is_none() {
            let (size, seconds) = (bytes.len() as f64 / 1e6, started.elapsed().as_secs_f64());
            self.log.info(format_args!("fetched {name}: {size:.1} MB in {seconds:.1} s"));
        }
        Ok(bytes)
    }
}

/// The root cause of an error: the errors around it only say that something failed.
fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
