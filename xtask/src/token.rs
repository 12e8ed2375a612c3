//! Makes bearer tokens.

use std::{fs::File, io::Read};

use anyhow::{Context, Result};
use clap::Args;
use sha2::{Digest, Sha256};

/// Makes a bearer token for a client of the worker.
#[derive(Args)]
pub struct Token {
    /// Name of the client, which its sessions, limits and logs have.
    name: String,
}

impl Token {
    /// Prints it, and how it is stored.
    pub fn run(self) -> Result<()> {
        let mut random = [0; 32];
        File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random)).context("no random bytes")?;
        let token = hex(&random);
        println!("token, for the client, told only now:\n  {token}");
        println!("for ACCESS_TOKENS, beside those of others, separated by commas:\n  {}", stored(&self.name, &token));
        Ok(())
    }
}

fn stored(name: &str, token: &str) -> String {
    format!("{name}:{}", hex(&Sha256::digest(token)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_a_hash() {
        let hash = "70b418541da77d413246ec0d700eebb8b23852493cfaa4ab4f39009cd68360f0";
        assert_eq!(stored("ann", "secret-of-ann"), format!("ann:{hash}"));
    }
}
