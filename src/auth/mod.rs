//! Authentication: by bearer tokens, or everybody, if the owner says so. The caller is determined once, where a request
//! enters, and travels with it from there on.
//!
//! **Boundary.** A server answers nothing that comes from another machine until its owner has chosen one of the two.

use std::{fmt, net::IpAddr, str::FromStr};

use futures::future::{self, LocalBoxFuture};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The authenticated caller: the name of a token. Empty for everybody without a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Principal(String);

impl Principal {
    /// The principal of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// Its name; empty for those without a token.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "everybody" } else { &self.0 })
    }
}

/// Which callers are let in.
#[derive(Debug, Clone, Default)]
pub enum Door {
    /// Nothing was chosen: callers on the same machine only.
    #[default]
    Unset,
    /// Everybody.
    Open,
    /// Holders of one of these.
    Tokens(Vec<Token>),
}

impl Door {
    /// Reads the settings `ACCESS` and `ACCESS_TOKENS`.
    ///
    /// # Errors
    /// Says which setting is wrong; never what a token is.
    pub fn parse(access: &str, tokens: &str) -> Result<Self, String> {
        match access {
            "" => Ok(Self::Unset),
            "none" => Ok(Self::Open),
            "token" => {
                let items = tokens.split([',', ' ', '\n']).filter(|item| !item.is_empty());
                let tokens = items.map(Token::from_str).collect::<Result<Vec<_>, _>>();
                match tokens.map_err(|why| format!("ACCESS_TOKENS: {why}"))? {
                    none if none.is_empty() => Err("ACCESS is `token`, and there is none in ACCESS_TOKENS".into()),
                    tokens => Ok(Self::Tokens(tokens)),
                }
            }
            other => Err(format!("ACCESS is `{other}`: it must be `token` or `none`")),
        }
    }

    /// Whether a request for `host` from `peer` may be answered at all: not if it comes from another machine before
    /// access is chosen.
    #[must_use]
    pub fn answers(&self, host: &str, peer: Option<IpAddr>) -> bool {
        let near = is_loopback(host) && peer.is_none_or(|peer| peer.is_loopback());
        near || !matches!(self, Self::Unset)
    }

    /// Identifies the caller by the `Authorization` header. A future, as it may have to ask elsewhere.
    ///
    /// # Errors
    /// [`Denied`].
    #[must_use]
    pub fn admit(&self, authorization: Option<&str>) -> LocalBoxFuture<'static, Result<Principal, Denied>> {
        let found = match self {
            Self::Open | Self::Unset => Ok(Principal::default()),
            Self::Tokens(tokens) => match authorization.and_then(bearer) {
                None => Err(Denied::NoToken),
                Some(presented) => find(tokens, presented).ok_or(Denied::WrongToken),
            },
        };
        Box::pin(future::ready(found))
    }
}

/// Returns the principal of a token.
fn find(tokens: &[Token], presented: &str) -> Option<Principal> {
    let hash: [u8; 32] = Sha256::digest(presented).into();
    // Compares with all, even after a match, so that the time tells nothing.
    let mut found = None;
    for token in tokens {
        if bool::from(token.sha256.ct_eq(&hash)) {
            found = Some(&token.name);
        }
    }
    found.map(|name| Principal::named(name))
}

/// Why a caller is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// There is no bearer token.
    NoToken,
    /// The token is not one of this server's.
    WrongToken,
}

/// The token of an `Authorization` header.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| token.trim())
}

/// Whether a host is this machine.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A token as it is stored: its hash, not the token itself.
#[derive(Clone)]
pub struct Token {
    name: String,
    sha256: [u8; 32],
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).finish_non_exhaustive()
    }
}

impl FromStr for Token {
    type Err = &'static str;

    /// `NAME:SHA256`, the latter in hexadecimal. An error does not repeat the text: it may be a token.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, digits) = text.rsplit_once(':').ok_or("each is NAME:SHA256")?;
        let named = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.@".contains(&c));
        if !named {
            return Err("a name has 1 to 64 letters, digits, or characters of `-_.@`");
        }
        let mut sha256 = [0; 32];
        if digits.len() != 64 || !digits.is_ascii() {
            return Err("a SHA-256 has 64 hexadecimal digits");
        }
        for (byte, pair) in sha256.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).unwrap_or_default();
            *byte = u8::from_str_radix(pair, 16).map_err(|_| "a SHA-256 has 64 hexadecimal digits")?;
        }
        Ok(Self { name: name.to_owned(), sha256 })
    }
}

/// The address of a client, from a header that the platform sets.
#[must_use]
pub fn peer(header: &str) -> Option<IpAddr> {
    header.trim().parse().ok()
}
